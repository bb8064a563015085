// A piano keyboard that one clicks, or plays with the arrow keys and Enter: each note is told as a MIDI number.

import { element } from "./dom.js";

const NAMES = ["C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B"];
export const noteName = (pitch) => NAMES[pitch % 12] + (Math.floor(pitch / 12) - 1);

export function makeKeyboard(node, low, high, play) {
  node.setAttribute("role", "group");
  const keys = [];
  for (let pitch = low; pitch <= high; pitch++) {
    const isBlack = NAMES[pitch % 12].length > 1;
    const key = element("button", { type: "button", className: isBlack ? "black" : "white", onclick: () => play(pitch) });
    key.setAttribute("aria-label", noteName(pitch));
    key.tabIndex = pitch === 60 ? 0 : -1;
    if (pitch % 12 === 0) key.append(element("span", { textContent: noteName(pitch) }));
    key.onkeydown = (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1, ArrowUp: 12, ArrowDown: -12 }[event.key];
      const next = step && keys[pitch - low + step];
      if (!next) return;
      event.preventDefault();
      key.tabIndex = -1;
      next.tabIndex = 0;
      next.focus();
    };
    keys.push(key);
  }
  node.replaceChildren(...keys);
}
