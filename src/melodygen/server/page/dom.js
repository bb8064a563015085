// Small helpers for building the page.

export const element = (tag, properties = {}, ...children) => {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
};

export const button = (text, label, onclick) => {
  const made = element("button", { type: "button", textContent: text, onclick });
  made.setAttribute("aria-label", label);
  return made;
};

export const byId = (id) => document.getElementById(id);

// A menu that does something at once: choices are [text, value] pairs; it goes back to its title afterwards.
export function menu(title, label, choices, act) {
  const made = element("select", {}, new Option(title, ""), ...choices.map(([text, value]) => new Option(text, value)));
  made.setAttribute("aria-label", label);
  made.onchange = () => {
    const { value } = made;
    made.value = "";
    if (value) act(value);
  };
  return made;
}

// A canvas in the resolution of the screen; gives the pen, and width and height in CSS pixels (0 while it is hidden).
export function prepared(canvas) {
  const scale = devicePixelRatio || 1, width = canvas.clientWidth, height = canvas.clientHeight;
  canvas.width = width * scale;
  canvas.height = height * scale;
  const pen = canvas.getContext("2d");
  pen.scale(scale, scale);
  const style = getComputedStyle(canvas);
  return { pen, width, height, colour: (name) => style.getPropertyValue(`--${name}`).trim() };
}

// Colours of groups: each is told from its neighbours in both themes, and a text says the same.
export const GROUPS = 8;
export const groupColour = (colour, number) => colour(`group-${number % GROUPS}`);
