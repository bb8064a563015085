// Records the microphone as a WAV file of one channel at 16 kHz.

const RATE = 16_000, MAX_SECONDS = 60;

export class Recorder {
  #context; #stream; #parts = []; #timer;

  get isRecording() { return Boolean(this.#context); }

  // ended() is called where the longest time is over.
  async start(ended) {
    this.#stream = await navigator.mediaDevices.getUserMedia({ audio: { channelCount: 1, echoCancellation: false, noiseSuppression: false, autoGainControl: false } });
    this.#context = new AudioContext({ sampleRate: RATE });
    await this.#context.audioWorklet.addModule("recorder-worklet.js");
    this.#parts = [];
    const source = this.#context.createMediaStreamSource(this.#stream), tap = new AudioWorkletNode(this.#context, "recorder");
    tap.port.onmessage = (event) => this.#parts.push(event.data);
    source.connect(tap);
    this.#timer = setTimeout(ended, 1000 * MAX_SECONDS);
  }

  async stop() {
    clearTimeout(this.#timer);
    for (const track of this.#stream.getTracks()) track.stop();
    await this.#context.close();
    this.#context = undefined;
    return wav(this.#parts);
  }
}

function wav(parts) {
  const size = parts.reduce((sum, part) => sum + part.length, 0), view = new DataView(new ArrayBuffer(44 + 2 * size));
  const text = (at, letters) => [...letters].forEach((letter, i) => view.setUint8(at + i, letter.charCodeAt(0)));
  text(0, "RIFF"); view.setUint32(4, 36 + 2 * size, true); text(8, "WAVEfmt ");
  view.setUint32(16, 16, true); view.setUint16(20, 1, true); view.setUint16(22, 1, true);
  view.setUint32(24, RATE, true); view.setUint32(28, 2 * RATE, true); view.setUint16(32, 2, true); view.setUint16(34, 16, true);
  text(36, "data"); view.setUint32(40, 2 * size, true);
  let at = 44;
  for (const part of parts) for (const x of part) { view.setInt16(at, 32_767 * Math.max(-1, Math.min(1, x)), true); at += 2; }
  return new Blob([view], { type: "audio/wav" });
}
