// The form of a request. What is asked most has a place of its own in the page; every other control of the request is
// made here from the server's schema, so that a new one appears by itself.

import { byId, element } from "./dom.js";

const ROLES = ["melody", "chords", "bass", "drums"];
const OWN = ["style", "bars", "qpm", "meter", "key", "seed", "candidates", "tracks", "chords"];
const FROM_PIECE = ["prompt", "given", "given_roles", "fill"]; // buttons of a candidate give these
const SLIDER_RANGE = 20_000; // whole numbers beyond get a field

const words = (name) => name.replaceAll("_", " ");
const typeOf = (schema) => (Array.isArray(schema.type) ? schema.type[0] : schema.type);

export class Controls {
  #form; #schema = {};
  styles = [];

  constructor(form) { this.#form = form; }

  fill(styles, schema) {
    this.styles = styles;
    this.#schema = schema.properties;
    const { style } = this.#form.elements;
    for (const found of styles) style.add(new Option(found.name, found.name));
    style.onchange = () => this.#showStyle();
    for (const role of ROLES) {
      byId("roles").append(element("label", {}, element("input", { type: "checkbox", name: "role", value: role }), ` ${role}`));
    }
    for (const [name, found] of Object.entries(this.#schema)) {
      if (!OWN.includes(name) && !FROM_PIECE.includes(name)) byId("sliders").append(this.#control(name, found));
    }
    this.#showStyle();
  }

  asked() {
    const fields = this.#form.elements, asked = { style: fields.style.value };
    for (const name of ["bars", "qpm", "seed", "candidates"]) if (fields[name].value !== "") asked[name] = Number(fields[name].value);
    for (const name of ["meter", "key", "chords"]) if (fields[name].value.trim()) asked[name] = fields[name].value.trim();
    const roles = [...this.#form.querySelectorAll("input[name=role]:checked")].map((box) => box.value);
    if (roles.length) asked.tracks = roles.join(",");
    for (const field of byId("sliders").querySelectorAll("[data-touched]")) {
      const kind = typeOf(this.#schema[field.name]);
      if (kind === "boolean") asked[field.name] = field.checked;
      else if (field.value !== "") asked[field.name] = kind === "string" ? field.value : Number(field.value);
    }
    return asked;
  }

  #control(name, schema) {
    const kind = typeOf(schema), touched = (event) => { event.target.dataset.touched = "yes"; };
    const label = element("label", { title: schema.description }, element("span", { textContent: words(name) }));
    if (schema.enum) {
      const select = element("select", { name, oninput: touched }, ...schema.enum.map((choice) => new Option(choice, choice)));
      if (schema.default !== undefined && schema.default !== null) select.value = schema.default;
      label.append(select);
    } else if (kind === "boolean") {
      label.className = "inline";
      label.prepend(element("input", { type: "checkbox", name, checked: schema.default === true, oninput: touched }));
    } else if (kind === "string") {
      label.append(element("input", { name, oninput: touched, placeholder: schema.description.split(/, as in |: |like /).pop() }));
    } else if (kind === "integer" && schema.maximum > SLIDER_RANGE) {
      label.append(element("input", { type: "number", name, min: schema.minimum, max: schema.maximum, placeholder: schema.default ?? "", oninput: touched }));
    } else {
      label.append(...this.#slider(name, schema, kind === "integer"));
    }
    return label;
  }

  #slider(name, schema, isWhole) {
    const most = name === "temperature" ? 2 : schema.maximum; // beyond, it writes noise
    const slider = element("input", { type: "range", name, min: schema.minimum, max: most, step: isWhole ? 1 : 0.01 });
    slider.value = schema.default ?? (schema.minimum + most) / 2;
    const shown = element("output", { textContent: schema.default ?? "the style's" });
    slider.oninput = () => { slider.dataset.touched = "yes"; shown.textContent = slider.value; };
    return [shown, slider];
  }

  #showStyle() {
    const style = this.styles.find((found) => found.name === this.#form.elements.style.value);
    this.#form.elements.qpm.placeholder = style.qpm;
    this.#form.elements.meter.placeholder = style.meter;
    byId("style-note").textContent = style.description;
    for (const box of this.#form.querySelectorAll("input[name=role]")) box.checked = style.tracks.includes(box.value);
  }
}
