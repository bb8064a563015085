// The Generate room: ask, compare, keep, change one thing. Views are jobs; undo and redo walk through them.

import { download, follow, getJson, postJson, request, result } from "./api.js";
import { Card } from "./card.js";
import { Controls } from "./controls.js";
import { button, byId, element } from "./dom.js";

const KEY = "melodygen-studio";

export class Studio {
  #player; #say; #controls; #cards = []; #current = null; #running = null;
  #history = []; #at = -1; #kept = [];
  ports = [];

  constructor(player, say) {
    this.#player = player;
    this.#say = say;
    this.#controls = new Controls(byId("request"));
  }

  async start() {
    const [styles, schema, ports] = await Promise.all([getJson("/v1/styles"), getJson("/v1/controls"), getJson("/v1/ports")]);
    this.ports = [...ports.outputs.map((name) => [name, name]), ...(ports.note ? [] : [["a new port, melodygen", "virtual"]])];
    this.#controls.fill(styles, schema);
    byId("request").onsubmit = (event) => { event.preventDefault(); this.generate(this.#controls.asked()); };
    byId("cancel").onclick = () => this.cancel();
    byId("back").onclick = () => this.#walk(-1);
    byId("forward").onclick = () => this.#walk(1);
    this.#restore();
  }

  say(text, isError = false) { this.#say(text, isError); }

  // Tells what goes wrong in something that was begun.
  async attempt(act) {
    try { return await act(); } catch (error) { this.#say(error.message, true); return undefined; }
  }

  // The n-th candidate, from 1: plays on where the one before it was.
  choose(number) {
    const card = this.#cards[number - 1];
    if (!card?.node.isConnected) return;
    this.#current?.node.classList.remove("current");
    this.#current = card;
    card.node.classList.add("current");
    this.#player.load(card.score);
    if (!this.#player.playing) this.attempt(() => this.#player.play());
  }

  // A click into a piano roll.
  seek(card, seconds) {
    if (this.#current === card) this.#player.seek(seconds);
    else this.choose(this.#cards.indexOf(card) + 1);
  }

  draw() {
    this.#current?.roll.draw(this.#player.position);
  }

  async generate(asked) {
    await this.attempt(async () => {
      const job = await postJson("/v1/generate", asked);
      this.#history = [...this.#history.slice(0, this.#at + 1), job.id].slice(-50);
      this.#at = this.#history.length - 1;
      this.#save();
      await this.#show(job.id);
    });
  }

  async cancel() {
    if (this.#running) await request(`/v1/jobs/${this.#running}`, { method: "DELETE" });
  }

  // A candidate in another format: the server makes it, then it is saved.
  async export(source, format, name) {
    await this.attempt(async () => {
      this.#say(`making ${format} …`);
      const job = await postJson(`/v1/render?format=${format}`, { source });
      const { file } = await result(job);
      const suffix = file.split(".").pop();
      await download(`/v1/jobs/${job.id}/files/${file}`, format === suffix ? `${name}.${suffix}` : `${name}-${format}.${suffix}`);
      this.#say(`${format} is saved`);
    });
  }

  async send(source, port) {
    await this.attempt(async () => {
      await postJson("/v1/play", { source, port, loop: byId("loop").checked });
      byId("stop-port").hidden = false;
      this.#say("It plays at the port");
    });
  }

  keep(job, number, score, style) {
    if (this.#kept.some((piece) => piece.job === job && piece.number === number)) return;
    this.#kept = [...this.#kept, { job, number, score, style }].slice(-50);
    this.#save();
    this.#showKept();
    this.#say(`Candidate ${number} is kept`);
  }

  // Fetches a job from its first event on: a job that has ended comes back whole.
  async #show(id) {
    this.#cards = [];
    this.#current = null;
    const list = byId("candidates"), bar = byId("progress"), summary = byId("summary"), cancel = byId("cancel");
    list.replaceChildren();
    summary.textContent = "";
    bar.hidden = cancel.hidden = false;
    this.#running = id;
    this.#updateHistory();
    const { asked } = await getJson(`/v1/jobs/${id}`);
    const ended = await follow(id, (kind, data) => {
      if (this.#running !== id) return;
      if (kind === "progress") {
        bar.value = data.done;
        this.#say(`${data.stage} ${Math.round(100 * data.done)} %`);
      } else if (kind === "candidate") {
        const card = new Card(this, id, asked, data);
        list.append(card.node);
        this.#cards.push(card);
      }
    });
    if (this.#running !== id) return;
    bar.hidden = cancel.hidden = true;
    if (ended.state !== "done") {
      this.#say(ended.error ?? ended.state, ended.state === "failed");
      return;
    }
    this.#summarise(ended.result);
    this.#say("Done");
  }

  #summarise(found) {
    const summary = byId("summary");
    summary.textContent = `Seed ${found.seed}. Style probability: ${found.style_probability.toFixed(2)} of the chosen one, ` +
      `${found.unselected_mean_probability.toFixed(2)} on average` +
      (found.accepted ? "" : `; none reached ${found.min_style}`) + `. ${found.seconds.toFixed(1)} s. `;
    summary.append(button("Copy command", "Copy the command line that makes this piece", () => this.attempt(async () => {
      await navigator.clipboard.writeText(found.command);
      this.#say("The command is in the clipboard");
    })));
    for (const text of found.warnings) summary.append(element("span", { className: "flaw", textContent: ` ${text}` }));
    this.#cards[found.chosen - 1]?.markChosen();
  }

  #showKept() {
    byId("kept").replaceChildren(...this.#kept.map((piece) => {
      const name = `kept-${piece.job.slice(0, 6)}-${piece.number}`;
      return element("li", { className: "card" }, element("header", {},
        button("▶", `Play kept piece ${piece.number}`, () => { this.#player.load(piece.score); this.attempt(() => this.#player.play()); }),
        element("strong", { textContent: `${piece.style ?? ""} ${piece.number} of ${piece.job.slice(0, 6)}` }),
        button("MIDI", "Download as MIDI", () => this.attempt(() => download(`/v1/jobs/${piece.job}/files/candidate-${piece.number}.mid`, `${name}.mid`))),
        button("×", "Keep no longer", () => {
          this.#kept = this.#kept.filter((other) => other !== piece);
          this.#save();
          this.#showKept();
        })));
    }));
    byId("kept-none").hidden = this.#kept.length > 0;
  }

  #walk(step) {
    this.#at += step;
    this.#save();
    this.attempt(() => this.#show(this.#history[this.#at]));
  }

  #updateHistory() {
    byId("back").disabled = this.#at <= 0;
    byId("forward").disabled = this.#at >= this.#history.length - 1;
  }

  #save() {
    try {
      localStorage.setItem(KEY, JSON.stringify({ history: this.#history, at: this.#at, kept: this.#kept }));
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
    if (this.#at >= 0) this.#show(this.#history[this.#at]).catch(() => this.#say("The last pieces are no longer kept on the server"));
  }
}
