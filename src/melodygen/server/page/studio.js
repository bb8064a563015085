// The Generate room: ask, compare, keep, change one thing. Views are jobs; undo and redo walk through them.

import { download, follow, getJson, postJson, request } from "./api.js";
import { Roll } from "./roll.js";

const KEY = "melodygen-studio";
const SLIDERS = ["density", "temperature", "top_p", "swing", "humanize", "min_style", "max_rounds"];
const ROLES = ["melody", "chords", "bass", "drums"];

const element = (tag, properties = {}, ...children) => {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
};
const button = (text, label, onclick) => {
  const made = element("button", { type: "button", textContent: text, onclick });
  made.setAttribute("aria-label", label);
  return made;
};

export class Studio {
  #player; #say; #styles = []; #form; #cards = []; #current = null; #running = null;
  #history = []; #at = -1; #kept = [];

  constructor(player, say) {
    this.#player = player;
    this.#say = say;
    this.#form = document.getElementById("request");
  }

  async start() {
    const [styles, schema] = await Promise.all([getJson("/v1/styles"), getJson("/v1/controls")]);
    this.#styles = styles;
    for (const style of styles) this.#form.elements.style.add(new Option(`${style.name}`, style.name));
    this.#form.elements.style.onchange = () => this.#showStyle();
    for (const role of ROLES) {
      document.getElementById("roles").append(
        element("label", {}, element("input", { type: "checkbox", name: "role", value: role }), ` ${role}`));
    }
    for (const name of SLIDERS) if (schema.properties[name]) this.#addSlider(name, schema.properties[name]);
    this.#form.onsubmit = (event) => { event.preventDefault(); this.generate(this.#asked()); };
    document.getElementById("cancel").onclick = () => this.cancel();
    document.getElementById("back").onclick = () => this.#walk(-1);
    document.getElementById("forward").onclick = () => this.#walk(1);
    this.#restore();
    if (this.#at < 0) this.#showStyle();
  }

  // The n-th candidate, from 1: plays on where the one before it was.
  choose(number) {
    const card = this.#cards[number - 1];
    if (!card) return;
    this.#current?.node.classList.remove("current");
    this.#current = card;
    card.node.classList.add("current");
    this.#player.load(card.score);
    if (!this.#player.playing) this.#player.play().catch((error) => this.#say(error.message, true));
  }

  draw() {
    if (this.#current) this.#current.roll.draw(this.#player.position);
  }

  async generate(asked) {
    try {
      const job = await postJson("/v1/generate", asked);
      this.#history = [...this.#history.slice(0, this.#at + 1), job.id];
      this.#at = this.#history.length - 1;
      this.#save();
      await this.#show(job.id);
    } catch (error) {
      this.#say(error.message, true);
    }
  }

  async cancel() {
    if (this.#running) await request(`/v1/jobs/${this.#running}`, { method: "DELETE" });
  }

  // Fetches a job from its first event on: a job that has ended comes back whole.
  async #show(id) {
    this.#cards = [];
    this.#current = null;
    const list = document.getElementById("candidates"), bar = document.getElementById("progress");
    const summary = document.getElementById("summary"), cancel = document.getElementById("cancel");
    list.replaceChildren();
    summary.textContent = "";
    bar.hidden = cancel.hidden = false;
    this.#running = id;
    this.#updateHistory();
    const asked = (await getJson(`/v1/jobs/${id}`)).asked;
    const ended = await follow(id, (kind, data) => {
      if (this.#running !== id) return;
      if (kind === "progress") {
        bar.value = data.done;
        this.#say(`${data.stage} ${Math.round(100 * data.done)} %`);
      } else if (kind === "candidate") {
        this.#addCard(id, asked, data);
      }
    });
    if (this.#running !== id) return;
    bar.hidden = cancel.hidden = true;
    if (ended.state !== "done") {
      this.#say(ended.error ?? ended.state, ended.state === "failed");
      return;
    }
    const found = ended.result;
    summary.textContent = `seed ${found.seed}; mean style probability of all candidates ` +
      `${found.unselected_mean_probability.toFixed(2)}, of the chosen one ${found.style_probability.toFixed(2)}` +
      (found.accepted ? "" : ` — none reached ${found.min_style}`) + `. ${found.seconds.toFixed(1)} s. `;
    summary.append(button("Copy command", "Copy the command line that makes this piece", async () => {
      await navigator.clipboard.writeText(found.command);
      this.#say("The command is in the clipboard");
    }));
    this.#cards[found.chosen - 1]?.node.querySelector("strong").append(" ✓");
    this.#say("Done");
  }

  #addCard(job, asked, data) {
    const number = data.number, score = data.score;
    const source = `job:${job}/${number}`;
    const card = { score, selection: null };
    const canvas = element("canvas", { tabIndex: 0 });
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", `Piano roll of candidate ${number}; drag to select bars`);
    const meter = element("meter", { min: 0, max: 1, value: data.style_probability, title: "style probability" });
    const roles = score.tracks.map((track) => track.role);
    const rest = (role) => roles.filter((other) => other !== role);
    const again = { ...asked, given: undefined, given_roles: undefined, fill: undefined, prompt: undefined, seed: undefined, chords: undefined, bars: undefined };
    const pick = element("select", {}, ...[new Option("another …", ""), ...roles.map((role) => new Option(`another ${role}`, role))]);
    pick.setAttribute("aria-label", "Write one track anew under the others");
    pick.onchange = () => {
      if (pick.value) this.generate({ ...again, given: source, given_roles: rest(pick.value).join(","), tracks: roles.join(",") });
    };
    const fill = button("Fill bars", "Write the selected bars anew", () => {
      if (!card.selection) { this.#say("Drag over the piano roll to select the bars that shall be written anew", true); return; }
      this.generate({ ...again, given: source, fill: `${card.selection.first + 1}:${card.selection.count}` });
    });
    card.node = element("li", { className: "card" },
      element("header", {},
        button("▶", `Play candidate ${number}`, () => this.choose(this.#cards.indexOf(card) + 1)),
        element("strong", { textContent: `${number}` }),
        element("span", { className: "meter" }, `style ${data.style_probability.toFixed(2)}`, meter),
        element("span", { className: "meter", textContent: `quality ${data.quality.toFixed(2)}` }),
        element("span", { className: "meter", textContent: [score.key, `${score.qpm} qpm`, score.meter].filter(Boolean).join(", ") }),
        ...(data.flaw ? [element("span", { className: "flaw", textContent: data.flaw })] : [])),
      canvas,
      element("div", { className: "buttons" },
        button("★ Keep", `Keep candidate ${number}`, () => this.#keep(job, number, score)),
        button("× Drop", `Drop candidate ${number}`, () => card.node.remove()),
        button("More like this", "Write new pieces with the same request", () => this.generate({ ...asked, seed: undefined })),
        button("Vary", "Write the melody anew over the rest", () => this.generate({ ...again, given: source, given_roles: rest("melody").join(",") || undefined, ...(roles.length < 2 && { fill: `1:${Math.ceil((score.bars.length - 1) / 2)}` }) })),
        pick, fill,
        button("Continue", "Write the bars that follow", () => this.generate({ ...again, prompt: source, bars: 8, tracks: roles.join(",") })),
        button("MIDI", `Download candidate ${number} as MIDI`, () => download(`/v1/jobs/${job}/files/candidate-${number}.mid`, `${asked.style}-${data.seed}.mid`)),
        button("Audio", `Render candidate ${number} and download it`, () => this.#render(job, number, `${asked.style}-${data.seed}`))));
    document.getElementById("candidates").append(card.node);
    card.roll = new Roll(canvas, score, {
      onSelect: (selection) => { card.selection = selection; },
      onSeek: (seconds) => { if (this.#current === card) this.#player.seek(seconds); else this.choose(this.#cards.indexOf(card) + 1); },
    });
    this.#cards.push(card);
  }

  async #render(job, number, name) {
    try {
      this.#say("rendering …");
      const midi = await (await request(`/v1/jobs/${job}/files/candidate-${number}.mid`)).blob();
      const form = new FormData();
      form.append("file", midi, "candidate.mid");
      const made = await (await request("/v1/render?format=wav", { method: "POST", body: form })).json();
      const ended = await follow(made.id, () => {});
      if (ended.state !== "done") throw new Error(ended.error ?? ended.state);
      await download(`/v1/jobs/${made.id}/files/${ended.result.file}`, `${name}.wav`);
      this.#say("Done");
    } catch (error) {
      this.#say(error.message, true);
    }
  }

  #keep(job, number, score) {
    if (this.#kept.some((piece) => piece.job === job && piece.number === number)) return;
    this.#kept.push({ job, number, score });
    this.#save();
    this.#showKept();
  }

  #showKept() {
    document.getElementById("kept").replaceChildren(...this.#kept.map((piece) => element("li", { className: "card" },
      element("header", {},
        button("▶", `Play kept piece ${piece.number}`, () => { this.#player.load(piece.score); this.#player.play().catch((error) => this.#say(error.message, true)); }),
        element("strong", { textContent: `${piece.number} of ${piece.job.slice(0, 6)}` }),
        button("MIDI", "Download as MIDI", () => download(`/v1/jobs/${piece.job}/files/candidate-${piece.number}.mid`, `kept-${piece.job.slice(0, 6)}-${piece.number}.mid`)
          .catch((error) => this.#say(error.message, true))),
        button("×", "Keep no longer", () => { this.#kept = this.#kept.filter((other) => other !== piece); this.#save(); this.#showKept(); })))));
  }

  #asked() {
    const fields = this.#form.elements, asked = { style: fields.style.value };
    for (const name of ["bars", "qpm", "seed", "candidates"]) if (fields[name].value !== "") asked[name] = Number(fields[name].value);
    for (const name of ["meter", "key", "chords"]) if (fields[name].value.trim()) asked[name] = fields[name].value.trim();
    const roles = [...this.#form.querySelectorAll("input[name=role]:checked")].map((box) => box.value);
    if (roles.length) asked.tracks = roles.join(",");
    for (const slider of this.#form.querySelectorAll("#sliders input[type=range]")) {
      if (slider.dataset.touched) asked[slider.name] = Number(slider.value);
    }
    return asked;
  }

  #addSlider(name, schema) {
    const step = schema.type === "integer" || schema.type?.[0] === "integer" ? 1 : 0.01;
    const slider = element("input", { type: "range", name, min: schema.minimum, max: Math.min(schema.maximum, name === "temperature" ? 2 : schema.maximum), step });
    slider.value = schema.default ?? (slider.min * 1 + slider.max * 1) / 2;
    const shown = element("output", { textContent: schema.default ?? "style's own" });
    slider.oninput = () => { slider.dataset.touched = "yes"; shown.textContent = slider.value; };
    document.getElementById("sliders").append(element("label", { title: schema.description }, `${name.replace("_", " ")} `, shown, slider));
  }

  #showStyle() {
    const style = this.#styles.find((found) => found.name === this.#form.elements.style.value);
    this.#form.elements.qpm.placeholder = style.qpm;
    this.#form.elements.meter.placeholder = style.meter;
    this.#form.elements.style.title = style.description;
    for (const box of this.#form.querySelectorAll("input[name=role]")) box.checked = style.tracks.includes(box.value);
  }

  #walk(step) {
    this.#at += step;
    this.#save();
    this.#show(this.#history[this.#at]).catch((error) => this.#say(error.message, true));
  }

  #updateHistory() {
    document.getElementById("back").disabled = this.#at <= 0;
    document.getElementById("forward").disabled = this.#at >= this.#history.length - 1;
  }

  #save() {
    try {
      localStorage.setItem(KEY, JSON.stringify({ history: this.#history.slice(-50), at: Math.min(this.#at, 49), kept: this.#kept.slice(-50) }));
    } catch { /* the browser keeps nothing: the page works without */ }
    this.#updateHistory();
  }

  #restore() {
    try {
      const saved = JSON.parse(localStorage.getItem(KEY) ?? "null");
      if (saved) { this.#history = saved.history; this.#at = saved.at; this.#kept = saved.kept; }
    } catch { /* nothing was kept */ }
    this.#showKept();
    this.#updateHistory();
    this.#showStyle();
    if (this.#at >= 0) this.#show(this.#history[this.#at]).catch(() => this.#say("The last pieces are no longer kept on the server"));
  }
}
