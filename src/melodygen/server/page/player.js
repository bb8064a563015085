// Plays a score in the browser with the product's own soundfont. Notes are scheduled a little ahead, so that another
// score can take over at the same position and a track can be muted at once.

import { WorkletSynthesizer } from "./vendor/spessasynth.js";
import { request } from "./api.js";

const AHEAD_SECONDS = 0.2;
const TICK_MS = 40;
const VOLUME = 7;
const STREAM_DELAY = 0.4;   // what comes over the network is heard so much later, in even time
const TRY_CHANNEL = 15;     // of single notes, which must not change an instrument of the piece
const NOTE_OFF = 0x80, NOTE_ON = 0x90, CONTROL = 0xb0, PROGRAM = 0xc0;

export class Player extends EventTarget {
  #context; #synth; #ready; #timer;
  #startedAt = 0;      // context time at which position 0 of the score would have sounded
  #scheduledTo = 0;    // position up to which notes are scheduled
  #position = 0;       // where it stands while it does not play
  #streamStart = null; // context time of second 0 of a live session; undefined until its first note, null without one
  score = null;
  playing = false;
  loop = false;
  tracks = new Map();  // role -> { muted, solo, level }

  // The audio context must begin in a user's gesture; the soundfont is fetched once.
  prepare() {
    this.#ready ??= (async () => {
      this.#context = new AudioContext();
      const [font] = await Promise.all([
        request("/v1/soundfont").then((answer) => answer.arrayBuffer()),
        this.#context.audioWorklet.addModule("vendor/spessasynth_processor.min.js"),
      ]);
      this.#synth = new WorkletSynthesizer(this.#context);
      await this.#synth.soundBankManager.addSoundBank(font, "main");
      await this.#synth.isReady;
      this.analyser = this.#context.createAnalyser();
      this.#synth.connect(this.analyser);
      this.analyser.connect(this.#context.destination);
    })();
    return this.#ready;
  }

  // Root mean square of what sounds now.
  get level() {
    if (!this.analyser) return 0;
    const samples = new Float32Array(this.analyser.fftSize);
    this.analyser.getFloatTimeDomainData(samples);
    return Math.sqrt(samples.reduce((sum, x) => sum + x * x, 0) / samples.length);
  }

  get position() {
    return this.playing ? Math.max(0, this.#context.currentTime - this.#startedAt) : this.#position;
  }

  // Another score takes over where this one stands (A/B); from the start if it is shorter.
  load(score) {
    const position = this.position;
    this.score = score;
    for (const track of score.tracks) {
      if (!this.tracks.has(track.role)) this.tracks.set(track.role, { muted: false, solo: false, level: 100 });
    }
    if (this.#synth) this.#setUp();
    this.seek(position < score.seconds - 0.1 ? position : 0);
    this.dispatchEvent(new Event("load"));
  }

  async play() {
    if (!this.score) return;
    await this.prepare();
    await this.#context.resume();
    this.endStream();
    this.#setUp();
    if (this.#position >= this.score.seconds - 0.05) this.#position = 0;
    this.playing = true;
    this.#from(this.#position);
    this.#timer ??= setInterval(() => this.#tick(), TICK_MS);
    this.dispatchEvent(new Event("state"));
  }

  pause() {
    this.#position = this.position;
    this.playing = false;
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#synth?.stopAll(true);
    this.dispatchEvent(new Event("state"));
  }

  stop() {
    this.pause();
    this.#position = 0;
    this.dispatchEvent(new Event("state"));
  }

  seek(seconds) {
    this.#position = seconds;
    if (this.playing) this.#from(seconds);
    this.dispatchEvent(new Event("state"));
  }

  // A live session sounds here: notes are rows of seconds since its beginning and MIDI bytes.
  async beginStream() {
    this.pause();
    await this.prepare();
    await this.#context.resume();
    this.#streamStart = undefined;
  }

  stream(notes) {
    if (this.#streamStart === null) return;
    const now = this.#context.currentTime;
    for (const [seconds, [status, first, second]] of notes) {
      this.#streamStart ??= now + STREAM_DELAY - seconds;
      if (this.#streamStart + seconds < now) this.#streamStart = now + STREAM_DELAY - seconds; // it came too late: wait longer from now on
      const options = { time: this.#streamStart + seconds }, channel = status & 15;
      const kind = status & 0xf0;
      if (kind === NOTE_ON && second) this.#synth.noteOn(channel, first, second, options);
      else if (kind === NOTE_ON || kind === NOTE_OFF) this.#synth.noteOff(channel, first, options);
      else if (kind === CONTROL) this.#synth.controllerChange(channel, first, second, options);
      else if (kind === PROGRAM) this.#synth.programChange(channel, first, options);
    }
  }

  endStream() {
    if (this.#streamStart === null) return;
    this.#streamStart = null;
    this.#synth.stopAll(true);
  }

  // A single note, as of a key that is pressed.
  async sound(pitch) {
    await this.prepare();
    await this.#context.resume();
    const time = this.#context.currentTime;
    this.#synth.noteOn(TRY_CHANNEL, pitch, 90, { time });
    this.#synth.noteOff(TRY_CHANNEL, pitch, { time: time + 0.4 });
  }

  setTrack(role, change) {
    Object.assign(this.tracks.get(role), change);
    if (this.#synth && this.score) {
      this.#setUp();
      if (this.playing) this.#from(this.position);
    }
  }

  sounds(role) {
    const anySolo = this.score.tracks.some((track) => this.tracks.get(track.role).solo);
    const { muted, solo } = this.tracks.get(role);
    return anySolo ? solo : !muted;
  }

  #setUp() {
    for (const track of this.score.tracks) {
      if (!track.is_drum) this.#synth.programChange(track.channel, track.program);
      this.#synth.controllerChange(track.channel, VOLUME, this.tracks.get(track.role).level);
    }
  }

  #from(position) {
    this.#synth.stopAll(true);
    const now = this.#context.currentTime;
    this.#startedAt = now - position + 0.05;
    this.#scheduledTo = position;
    for (const track of this.score.tracks) {
      if (!this.sounds(track.role)) continue;
      for (const [onset, duration, pitch, velocity] of track.notes) { // what is held across the position
        if (onset < position && onset + duration > position + 0.05) {
          this.#note(track.channel, pitch, velocity, now + 0.05, this.#startedAt + onset + duration);
        }
      }
    }
    this.#tick();
  }

  #tick() {
    const until = Math.min(this.position + AHEAD_SECONDS, this.score.seconds);
    for (const track of this.score.tracks) {
      if (!this.sounds(track.role)) continue;
      for (const [onset, duration, pitch, velocity] of track.notes) {
        if (onset >= this.#scheduledTo && onset < until) {
          this.#note(track.channel, pitch, velocity, this.#startedAt + onset, this.#startedAt + onset + duration);
        }
      }
    }
    this.#scheduledTo = Math.max(this.#scheduledTo, until);
    if (this.position >= this.score.seconds + (this.loop ? 0 : 1)) {
      if (this.loop) this.#from(0);
      else this.stop();
    }
  }

  #note(channel, pitch, velocity, onset, offset) {
    this.#synth.noteOn(channel, pitch, velocity, { time: onset });
    this.#synth.noteOff(channel, pitch, { time: Math.max(onset + 0.02, offset) });
  }
}
