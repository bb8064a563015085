// The Live room: start, moves, parameters, meters. A session without a port is heard in this page.

import { download, events, getJson, postJson } from "./api.js";
import { button, byId, element } from "./dom.js";
import { Room } from "./room.js";

const SLIDERS = ["density", "temperature", "swing", "humanize"];
const SHOWN_MOVES = ["start", "next", "vary", "loop", "freeze", "undo", "style", "mute_melody", "mute_chords", "mute_bass", "mute_drums", "faster", "slower", "save", "panic"];
const FALL = 0.75; // of a meter, each status

export class Live extends Room {
  #moves = []; #levels = {};

  async enter() {
    const [{ status, moves, parameters }, ports, styles] = await Promise.all([getJson("/v1/live"), getJson("/v1/ports"), getJson("/v1/styles")]);
    const form = byId("live-form").elements;
    for (const style of styles) form.style.add(new Option(style.name, style.name));
    form.port.add(new Option("this page", "page"));
    if (!ports.note) form.port.add(new Option("a new MIDI port, melodygen", "virtual"));
    for (const name of ports.outputs) form.port.add(new Option(name, name));
    byId("port-note").textContent = ports.note ?? "";
    this.#moves = moves.filter((move) => SHOWN_MOVES.includes(move.name));
    for (const name of SLIDERS) this.#addSlider(name, parameters[name]);
    byId("live-moves").append(...this.#moves.map((move) => this.#moveButton(move)));
    byId("live-form").onsubmit = (event) => { event.preventDefault(); this.#start(event.target.elements); };
    byId("live-stop").onclick = () => this.stop();
    this.#show(status);
    this.#follow();
  }

  // Keys act as in the terminal; whether one did.
  key(key) {
    const move = this.#moves.find((found) => found.key === key);
    if (!move || byId("live-stop").disabled) return false;
    this.#move(move.name);
    return true;
  }

  async stop() {
    await this.attempt(async () => this.#show(await postJson("/v1/live/stop", {})));
  }

  #moveButton(move) {
    const key = move.key === " " ? "space" : move.key;
    const made = button(`${move.name.replaceAll("_", " ")}`, `${move.description}${key ? `, key ${key}` : ""}`, () => this.#move(move.name));
    if (key) made.append(element("kbd", { textContent: key }));
    made.title = move.description;
    made.disabled = true;
    return made;
  }

  #addSlider(name, schema) {
    const most = name === "temperature" ? 2 : schema.maximum, least = name === "temperature" ? 0.1 : schema.minimum;
    const slider = element("input", { type: "range", min: least, max: most, step: 0.01, name });
    slider.value = schema.default ?? (least + most) / 2;
    const shown = element("output", { textContent: schema.default ?? "the style's" });
    slider.oninput = () => { shown.textContent = slider.value; slider.dataset.touched = "yes"; };
    slider.onchange = () => {
      if (!byId("live-stop").disabled) this.attempt(() => postJson("/v1/live/parameters", { [name]: Number(slider.value) }));
    };
    byId("live-sliders").append(element("label", { title: schema.description }, element("span", { textContent: name }), shown, slider));
  }

  async #start(fields) {
    await this.attempt(async () => {
      if (fields.port.value === "page") await this.player.beginStream(); // in the gesture, or the browser stays silent
      const parameters = {};
      for (const slider of byId("live-sliders").querySelectorAll("[data-touched]")) parameters[slider.name] = Number(slider.value);
      const asked = { style: fields.style.value, port: fields.port.value, parameters };
      if (fields.qpm.value) asked.qpm = Number(fields.qpm.value);
      if (fields.meter.value.trim()) asked.meter = fields.meter.value.trim();
      this.#show(await postJson("/v1/live/start", asked));
    });
  }

  async #move(move) {
    await this.attempt(() => postJson("/v1/live/moves", { move }));
  }

  async #follow() {
    for (;;) {
      try {
        for await (const { kind, data } of events("/v1/live/events")) {
          if (kind === "status") this.#show(data);
          else if (kind === "notice") this.say(data.text);
          else if (kind === "notes") this.player.stream(data.notes);
        }
      } catch (error) {
        this.say(error.message, true); // the server or the network went away: try again
      }
      await new Promise((resolve) => setTimeout(resolve, 1000));
    }
  }

  #show(status) {
    const isOn = status.is_on, bar = status.bar ? `bar ${status.bar}.${status.beat}` : "";
    byId("live-stop").disabled = !isOn;
    for (const made of byId("live-moves").children) made.disabled = !isOn || status.kind !== "live" || status.state === "loading";
    const probability = status.style_probability == null ? "" : ` ${status.style_probability.toFixed(2)}`;
    const parts = [status.state === "loading" ? "loading the models …" : status.state, bar, status.qpm && `${status.qpm.toFixed(1)} qpm`,
      status.style && `${status.style}${probability}`, status.phrase && `phrase ${status.phrase}`, status.ready ? "next is ready" : "", status.hurry,
      status.looping && "loop", status.frozen && "frozen", status.muted?.length && `off: ${status.muted.join(", ")}`,
      status.port !== "page" && status.late_ms != null && `notes at most ${status.late_ms} ms late (99 of 100)`];
    byId("live-status").textContent = parts.filter(Boolean).join(" · ");
    byId("live-state").textContent = status.state === "off" ? "" : status.state;
    if (status.error) this.say(status.error, true);
    if (!isOn) this.player.endStream();
    byId("stop-port").hidden = !(isOn && status.kind === "piece");
    this.#meters(status.levels ?? {});
    byId("live-files").replaceChildren(...status.files.map((name) => element("li", {},
      button(name, `Download ${name}`, () => this.attempt(() => download(`/v1/live/files/${name}`, name))))));
  }

  #meters(levels) {
    const node = byId("live-meters");
    for (const role of Object.keys(levels)) {
      if (!node.querySelector(`[data-role=${role}]`)) {
        const meter = element("meter", { min: 0, max: 1 });
        meter.dataset.role = role;
        meter.setAttribute("aria-label", `Level of ${role}`);
        node.append(element("span", { className: "meter" }, element("span", { className: `swatch ${role}` }), role, meter));
      }
    }
    for (const meter of node.querySelectorAll("meter")) {
      const { role } = meter.dataset;
      this.#levels[role] = Math.max(levels[role] ?? 0, (this.#levels[role] ?? 0) * FALL);
      meter.value = this.#levels[role];
    }
  }
}
