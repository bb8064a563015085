// The Library room: a map one can click, what sounds alike, what to hear next, and finding a tune by its notes.

import { getJson, postFile, postJson, request, result } from "./api.js";
import { button, byId, element, groupColour, prepared } from "./dom.js";
import { makeKeyboard, noteName } from "./keyboard.js";
import { Recorder } from "./microphone.js";
import { Room } from "./room.js";

const NEAR_PIXELS = 14;

export class Library extends Room {
  #points = []; #chosen = null; #likes = new Map(); #notes = []; #recorder = new Recorder(); #sound = new Audio();

  async enter() {
    this.#setUp();
    const stats = await getJson("/v1/library");
    byId("library-stats").textContent = stats.tracks ? `${stats.tracks} tracks, ${stats.hours} hours` : stats.note ?? "The library is empty";
    if (!stats.tracks) return;
    await this.#list("");
    const { likes } = await getJson("/v1/history?top=1");
    for (const track of likes) this.#likes.set(track.track, track.name);
    this.#showLikes();
    await this.#loadMap();
  }

  async choose(track) {
    await this.open();
    await this.attempt(async () => {
      const found = await getJson(`/v1/library/tracks/${track}`);
      this.#chosen = found;
      this.#showChosen(found);
      this.#draw();
      const { tracks } = await getJson(`/v1/similar?track=${track}&top=10`);
      this.#show(`Sounds like ${found.name}`, tracks, (other) => `${Math.round(100 * other.likeness)} % alike`);
    });
  }

  #setUp() {
    const canvas = byId("map");
    byId("library-search").onsubmit = (event) => {
      event.preventDefault();
      this.attempt(() => this.#list(event.target.elements.text.value));
    };
    canvas.onclick = (event) => { const point = this.#pointAt(event); if (point) this.choose(point.track); };
    canvas.onpointermove = (event) => { canvas.title = this.#pointAt(event)?.name ?? ""; };
    new ResizeObserver(() => this.#draw()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#draw());
    byId("recommend").onclick = () => this.#recommend();
    makeKeyboard(byId("keyboard"), 48, 84, (pitch) => this.#addNote(pitch));
    byId("find").onclick = () => this.#find();
    byId("find-clear").onclick = () => { this.#notes = []; this.#showNotes(); };
    byId("hum").onclick = () => this.#hum();
    byId("identify").onchange = (event) => this.#identify(event.target);
    addEventListener("pagehide", () => this.#sound.pause());
  }

  async #list(text) {
    const { total, tracks } = await getJson(`/v1/library/tracks?top=50&text=${encodeURIComponent(text)}`);
    this.#show(text ? `${total} tracks with “${text}”` : `${total} tracks`, tracks, (track) => Object.keys(track.styles)[0] ?? "");
  }

  async #loadMap() {
    byId("map-note").textContent = "The map is being laid out …";
    try {
      const found = await result(await postJson("/v1/library/map", {}));
      this.#points = found.tracks;
      byId("map-note").textContent = "Each point is a track; what sounds alike lies side by side. The list of tracks does the same without a mouse.";
    } catch (error) {
      byId("map-note").textContent = `No map: ${error.message}`;
    }
    this.#draw();
  }

  #place(point, width, height) {
    return [14 + point.x * (width - 28), 14 + (1 - point.y) * (height - 28)];
  }

  #draw() {
    const { pen, width, height, colour } = prepared(byId("map"));
    if (!width) return;
    pen.font = "12px system-ui, sans-serif";
    for (const point of this.#points) {
      const [x, y] = this.#place(point, width, height), isChosen = point.track === this.#chosen?.track;
      pen.beginPath();
      pen.arc(x, y, isChosen ? 8 : 5, 0, 2 * Math.PI);
      pen.fillStyle = groupColour(colour, point.cluster);
      pen.fill();
      if (isChosen || this.#likes.has(point.track)) {
        pen.strokeStyle = colour("text");
        pen.lineWidth = isChosen ? 2.5 : 1;
        pen.stroke();
      }
    }
    const chosen = this.#points.find((point) => point.track === this.#chosen?.track);
    if (chosen) {
      const [x, y] = this.#place(chosen, width, height), { width: wide } = pen.measureText(chosen.name);
      const left = Math.max(4, Math.min(x + 12, width - wide - 8));
      pen.fillStyle = colour("ground");
      pen.fillRect(left - 3, y - 24, wide + 6, 17);
      pen.fillStyle = colour("text");
      pen.fillText(chosen.name, left, y - 11);
    }
  }

  #pointAt(event) {
    const canvas = byId("map"), box = canvas.getBoundingClientRect();
    let best = null, least = NEAR_PIXELS;
    for (const point of this.#points) {
      const [x, y] = this.#place(point, canvas.clientWidth, canvas.clientHeight);
      const away = Math.hypot(event.clientX - box.left - x, event.clientY - box.top - y);
      if (away < least) [best, least] = [point, away];
    }
    return best;
  }

  #showChosen(track) {
    const facts = [track.artist, Object.entries(track.styles).slice(0, 1).map(([style, p]) => `${style} ${Math.round(100 * p)} %`)[0],
      track.mood, track.qpm && `${track.qpm} qpm`, track.key, track.meter, `${Math.round(track.seconds)} s`, track.kind].filter(Boolean);
    const liked = this.#likes.has(track.track);
    const like = button(liked ? "♥ Liked" : "♡ Like", `Like ${track.name}`, () => this.#like(track));
    like.setAttribute("aria-pressed", String(liked));
    byId("chosen").replaceChildren(
      element("h3", { textContent: track.name }),
      element("p", { textContent: facts.join(" · ") }),
      element("div", { className: "buttons" }, button("▶ Play", `Play ${track.name}`, () => this.#play(track)),
        button("■", "Stop the recording", () => this.#sound.pause()), like));
  }

  async #play(track) {
    await this.attempt(async () => {
      this.#sound.pause();
      if (track.score) {
        this.player.load(track.score);
        this.player.seek(0);
        await this.player.play();
      } else {
        this.player.pause();
        const blob = await (await request(`/v1/library/tracks/${track.track}/audio`)).blob();
        URL.revokeObjectURL(this.#sound.src);
        this.#sound.src = URL.createObjectURL(blob);
        await this.#sound.play();
      }
      await postJson("/v1/history", { plays: [{ track: track.track }] });
    });
  }

  async #like(track) {
    await this.attempt(async () => {
      const isLiked = this.#likes.has(track.track);
      await postJson("/v1/history", { [isLiked ? "unlike" : "likes"]: [track.track] });
      if (isLiked) this.#likes.delete(track.track); else this.#likes.set(track.track, track.name);
      this.#showLikes();
      this.#showChosen(track);
      this.#draw();
    });
  }

  #showLikes() {
    byId("likes").textContent = this.#likes.size ? `You like ${[...this.#likes.values()].join(", ")}.` : "Like a few tracks, or play them: what you hear next is chosen by them.";
  }

  async #recommend() {
    await this.attempt(async () => {
      const { tracks } = await postJson("/v1/recommend", { top: 10, diversity: Number(byId("diversity").value) });
      this.#show("To hear next", tracks, (track) => track.why);
    });
  }

  #addNote(pitch) {
    this.#notes.push(pitch);
    this.player.sound(pitch).catch(() => {});
    this.#showNotes();
  }

  #showNotes() {
    byId("notes").textContent = this.#notes.map(noteName).join(" ") || "no notes yet";
    byId("find").disabled = this.#notes.length < 4;
  }

  #showFound(title, found) {
    const extra = found.found_everywhere ? " — many tunes hold it: give more notes" : "";
    this.#show(title + extra, found.tracks, (track) => `${Math.round(100 * track.likeness)} %, at ${Math.round(track.start)} s`);
  }

  async #find() {
    await this.attempt(async () => this.#showFound("Tunes with these notes", await postJson("/v1/find", { notes: this.#notes })));
  }

  async #hum() {
    const pressed = byId("hum");
    await this.attempt(async () => {
      if (!this.#recorder.isRecording) {
        await this.#recorder.start(() => this.#hum());
        pressed.textContent = "■ Stop and find";
        pressed.setAttribute("aria-pressed", "true");
        this.say("Hum, sing or whistle: one voice, notes a little apart");
        return;
      }
      pressed.textContent = "● Hum";
      pressed.setAttribute("aria-pressed", "false");
      const sound = await this.#recorder.stop();
      this.say("Listening to what you hummed …");
      const found = await result(await postFile("/v1/find", sound, "hum.wav"));
      this.#notes = found.notes;
      this.#showNotes();
      this.#showFound(`Heard ${found.notes.length} notes`, found);
      this.say("Done");
    });
  }

  async #identify(input) {
    const [file] = input.files;
    input.value = "";
    if (!file) return;
    await this.attempt(async () => {
      this.say(`Listening to ${file.name} …`);
      const { matches } = await result(await postFile("/v1/identify", file));
      this.#show(matches.length ? `${file.name} shares music with` : `No track shares music with ${file.name}`, matches, (match) => match.words);
      this.say("Done");
    });
  }

  #show(title, tracks, words) {
    byId("tracks-title").textContent = title;
    byId("track-list").replaceChildren(...tracks.map((track) => element("li", {},
      element("button", { type: "button", textContent: track.name, onclick: () => this.choose(track.track) }),
      element("span", { className: "faint", textContent: ` ${words(track)}` }))));
  }
}
