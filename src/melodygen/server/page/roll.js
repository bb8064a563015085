// A piano roll on a canvas: pitched tracks above, drums below, bar lines, chords, sections, playhead. Dragging selects bars.

import { prepared } from "./dom.js";

const DRUM_SHARE = 0.22;
const CHORD_HEIGHT = 14;

export class Roll {
  #canvas; #score; #selection = null;

  // onSelect({ first, count } or null): bars counted from 0; onSeek(seconds): a click.
  constructor(canvas, score, { onSelect, onSeek }) {
    this.#canvas = canvas;
    this.#score = score;
    let from = null;
    const bar = (event) => {
      const share = (event.clientX - canvas.getBoundingClientRect().left) / canvas.clientWidth;
      const seconds = Math.min(1, Math.max(0, share)) * score.seconds;
      const index = score.bars.findIndex((line) => line > seconds);
      return { seconds, index: Math.max(0, (index < 0 ? score.bars.length - 1 : index) - 1) };
    };
    canvas.addEventListener("pointerdown", (event) => { from = bar(event); canvas.setPointerCapture(event.pointerId); });
    canvas.addEventListener("pointermove", (event) => {
      if (from === null) return;
      const to = bar(event);
      if (Math.abs(to.seconds - from.seconds) > score.seconds / 100) {
        this.select(Math.min(from.index, to.index), Math.abs(to.index - from.index) + 1);
      }
    });
    canvas.addEventListener("pointerup", (event) => {
      const to = bar(event);
      if (from !== null && Math.abs(to.seconds - from.seconds) <= score.seconds / 100) {
        this.select(null);
        onSeek(to.seconds);
      }
      from = null;
      onSelect(this.#selection);
    });
    new ResizeObserver(() => this.draw()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
  }

  select(first, count) {
    this.#selection = first === null ? null : { first, count };
    this.draw();
  }

  draw(playhead = null) {
    const score = this.#score;
    if (!this.#canvas.clientWidth) return;
    const { pen, width, height, colour } = prepared(this.#canvas);
    const x = (seconds) => (seconds / score.seconds) * width;
    const drums = score.tracks.some((track) => track.is_drum && track.notes.length);
    const bottom = drums ? height * (1 - DRUM_SHARE) : height;
    if (this.#selection) {
      const { first, count } = this.#selection;
      pen.fillStyle = colour("line");
      pen.fillRect(x(score.bars[first]), 0, x(score.bars[first + count]) - x(score.bars[first]), height);
    }
    pen.strokeStyle = colour("line");
    pen.beginPath();
    for (const line of score.bars) { pen.moveTo(x(line), 0); pen.lineTo(x(line), height); }
    pen.moveTo(0, bottom); pen.lineTo(width, bottom);
    pen.stroke();
    this.#pitched(pen, x, colour, bottom);
    if (drums) this.#drums(pen, x, colour, bottom, height);
    pen.fillStyle = colour("faint");
    pen.font = "11px system-ui, sans-serif";
    let right = 0;
    for (const [seconds, label] of score.chords) {
      if (x(seconds) < right) continue;
      pen.fillText(label.replace(":maj", "").replace(":min", "m").replace(":", ""), x(seconds) + 2, 11);
      right = x(seconds) + pen.measureText(label).width + 6;
    }
    pen.fillStyle = colour("text");
    pen.font = "bold 11px system-ui, sans-serif";
    for (const [seconds, name] of score.sections) {
      pen.fillRect(x(seconds), 0, 1, height);
      pen.fillText(name, x(seconds) + 4, bottom - 4);
    }
    if (playhead !== null) {
      pen.fillStyle = colour("text");
      pen.fillRect(x(playhead) - 1, 0, 2, height);
    }
  }

  #pitched(pen, x, colour, bottom) {
    const tracks = this.#score.tracks.filter((track) => !track.is_drum);
    const pitches = tracks.flatMap((track) => track.notes.map((note) => note[2]));
    if (!pitches.length) return;
    const low = Math.min(...pitches) - 1, high = Math.max(...pitches) + 1;
    const row = (bottom - CHORD_HEIGHT) / (high - low + 1);
    for (const track of tracks) {
      pen.fillStyle = colour(track.role) || colour("other");
      for (const [onset, duration, pitch, velocity] of track.notes) {
        pen.globalAlpha = 0.45 + (0.55 * velocity) / 127;
        pen.fillRect(x(onset), CHORD_HEIGHT + (high - pitch) * row, Math.max(1.5, x(duration) - 0.5), Math.max(2, row - 0.5));
      }
    }
    pen.globalAlpha = 1;
  }

  #drums(pen, x, colour, top, bottom) {
    const notes = this.#score.tracks.filter((track) => track.is_drum).flatMap((track) => track.notes);
    const used = [...new Set(notes.map((note) => note[2]))].sort((a, b) => b - a);
    const row = (bottom - top) / used.length;
    pen.fillStyle = colour("drums");
    for (const [onset, , pitch] of notes) pen.fillRect(x(onset), top + used.indexOf(pitch) * row + 0.5, 2, Math.max(1.5, row - 1));
  }
}
