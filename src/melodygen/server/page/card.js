// One candidate: its piano roll or notation, and all that can be done with it.

import { download, hasToken, postJson, request, result } from "./api.js";
import { button, element, menu } from "./dom.js";
import { Roll } from "./roll.js";

const FORMATS = [
  ["MIDI, a file for each track", "tracks"], ["WAV", "wav"], ["FLAC", "flac"], ["Ogg", "ogg"], ["stems (WAV)", "stems"],
  ["MusicXML", "musicxml"], ["DAW project", "dawproject"], ["ABC", "abc"],
];
const ZOOMS = [1, 2, 4, 8];

export class Card {
  #studio; #job; #asked; #data; #first; #last; #strong; #view; #notation = null;

  constructor(studio, job, asked, data) {
    this.#studio = studio;
    this.#job = job;
    this.#asked = asked;
    this.#data = data;
    this.score = data.score;
    const { number } = data;
    const canvas = element("canvas");
    canvas.setAttribute("role", "img");
    const sections = this.score.sections.map(([, name]) => name).join(" ");
    const parts = [...this.score.tracks.map((t) => `${t.role} ${t.notes.length} notes`), ...(sections ? [`sections ${sections}`] : [])];
    canvas.setAttribute("aria-label", `Piano roll of candidate ${number}: ${parts.join(", ")}`);
    this.#view = element("div", { className: "scroll", tabIndex: 0 }, canvas);
    this.#view.setAttribute("role", "group");
    this.#view.setAttribute("aria-label", `Picture of candidate ${number}; drag to select bars`);
    this.node = element("li", { className: "card" }, this.#header(), this.#view, this.#changes(), this.#outputs(canvas));
    this.roll = new Roll(canvas, this.score, {
      onSelect: (selection) => {
        this.#first.value = selection ? selection.first + 1 : "";
        this.#last.value = selection ? selection.first + selection.count : "";
      },
      onSeek: (seconds) => studio.seek(this, seconds),
    });
  }

  get source() { return `job:${this.#job}/${this.#data.number}`; }

  markChosen() {
    this.#strong.append(" ✓");
    this.#strong.title = "the chosen one";
  }

  #header() {
    const { number, style_probability: style, quality, flaw } = this.#data, { score } = this;
    this.#strong = element("strong", { textContent: `${number}` });
    const meter = element("meter", { min: 0, max: 1, value: style });
    meter.setAttribute("aria-label", "style probability");
    return element("header", {},
      button("▶", `Play candidate ${number}`, () => this.#studio.seek(this, 0)),
      this.#strong,
      element("span", { className: "meter" }, `style ${style.toFixed(2)}`, meter),
      element("span", { className: "meter", textContent: `quality ${quality.toFixed(2)}` }),
      element("span", { className: "meter", textContent: [score.key, `${score.qpm} qpm`, score.meter].filter(Boolean).join(", ") }),
      ...(flaw ? [element("span", { className: "flaw", textContent: flaw })] : []),
      button("★ Keep", `Keep candidate ${number}`, () => this.#studio.keep(this.#job, number, score, this.#asked.style)),
      button("× Drop", `Drop candidate ${number}`, () => this.node.remove()));
  }

  // What asks for new music.
  #changes() {
    const roles = this.score.tracks.map((track) => track.role), studio = this.#studio, bars = this.score.bars.length - 1;
    const again = { ...this.#asked, given: undefined, given_roles: undefined, fill: undefined, prompt: undefined, seed: undefined, chords: undefined, progression: undefined, form: undefined, bars: undefined };
    const over = (kept, written) => studio.generate({ ...again, given: this.source, given_roles: kept.join(",") || undefined, ...written });
    const rest = (role) => roles.filter((other) => other !== role);
    const bar = (label) => {
      const made = element("input", { type: "number", min: 1, max: bars, className: "bar" });
      made.setAttribute("aria-label", `${label} bar to write anew in candidate ${this.#data.number}`);
      made.onchange = () => { const span = this.#span(); if (span) this.roll.select(span.first, span.count); };
      return made;
    };
    this.#first = bar("First");
    this.#last = bar("Last");
    return element("div", { className: "buttons" },
      button("More like this", "Write new pieces with the same request", () => studio.generate({ ...this.#asked, seed: undefined })),
      button("Vary", "Write the melody anew over the rest", () => (roles.length > 1
        ? over(rest("melody"), {})
        : over([], { fill: `1:${Math.ceil(bars / 2)}` }))),
      menu("another …", "Write one track anew under the others", roles.map((role) => [`another ${role}`, role]),
        (role) => over(rest(role), { tracks: roles.join(",") })),
      button("Continue", "Write the bars that follow", () => studio.generate({ ...again, prompt: this.source, bars: 8, tracks: roles.join(",") })),
      element("span", { className: "fill" },
        button("Fill bars", "Write the selected bars anew", () => {
          const span = this.#span();
          if (span) studio.generate({ ...again, given: this.source, fill: `${span.first + 1}:${span.count}` });
          else studio.say("Drag over the piano roll, or give the first and the last bar that shall be written anew", true);
        }), this.#first, "–", this.#last));
  }

  #span() {
    const first = Number(this.#first.value), last = Number(this.#last.value);
    const isThere = first >= 1 && last >= first && last < this.score.bars.length;
    return isThere ? { first: first - 1, count: last - first + 1 } : null;
  }

  // What takes the music elsewhere.
  #outputs(canvas) {
    const { number, seed } = this.#data, studio = this.#studio;
    const name = `${this.#asked.style}-${seed}`, midi = `/v1/jobs/${this.#job}/files/candidate-${number}.mid`;
    const save = button("MIDI", `Download candidate ${number} as MIDI`, () => studio.attempt(() => download(midi, `${name}.mid`)));
    if (!hasToken) { // a browser that drags has no token to show
      save.draggable = true;
      save.title = "Click to download, or drag it into a folder or a DAW";
      save.ondragstart = (event) => event.dataTransfer.setData("DownloadURL", `audio/midi:${name}.mid:${location.origin}${midi}`);
    }
    let zoom = 0;
    const zoomed = button("Zoom", `Zoom the piano roll of candidate ${number}`, () => {
      zoom = (zoom + 1) % ZOOMS.length;
      canvas.style.width = `${100 * ZOOMS[zoom]}%`;
      zoomed.textContent = zoom ? `Zoom ${ZOOMS[zoom]}×` : "Zoom";
    });
    const notation = button("Notation", `Show candidate ${number} as notation or piano roll`, () => this.#toggleNotation(notation));
    notation.setAttribute("aria-pressed", "false");
    return element("div", { className: "buttons" }, save,
      menu("Download as …", `Download candidate ${number} in another format`, FORMATS, (format) => studio.export(this.source, format, name)),
      ...(studio.ports.length ? [menu("Send to port …", `Play candidate ${number} at a MIDI port`, studio.ports, (port) => studio.send(this.source, port))] : []),
      zoomed, notation);
  }

  async #toggleNotation(pressed) {
    await this.#studio.attempt(async () => {
      if (!this.#notation) {
        const [{ renderAbc }, job] = await Promise.all([import("./vendor/abcjs.js"), postJson("/v1/render?format=abc", { source: this.source })]);
        const { file } = await result(job);
        const abc = await (await request(`/v1/jobs/${job.id}/files/${file}`)).text();
        this.#notation = element("div", { className: "notation" });
        this.#view.append(this.#notation);
        renderAbc(this.#notation, abc, { responsive: "resize", staffwidth: 1000, add_classes: true, ariaLabel: `Notation of candidate ${this.#data.number}` });
        this.#notation.hidden = true;
      }
      this.#notation.hidden = !this.#notation.hidden;
      this.#view.firstChild.hidden = !this.#notation.hidden;
      pressed.setAttribute("aria-pressed", String(!this.#notation.hidden));
      this.#studio.say(this.#notation.hidden ? "Piano roll" : "Notation");
    });
  }
}
