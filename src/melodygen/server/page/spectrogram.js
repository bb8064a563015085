// Pictures of a file that was sent: its spectrogram, made in the browser, and the style over time.

import { element, groupColour, prepared } from "./dom.js";

const MAX_BYTES = 60 * 2 ** 20; // a longer file would fill the memory once it is decoded
const RATE = 16_000, WINDOW = 1024, COLUMNS = 600, BANDS = 96, LOWEST = 40;

// A canvas, or null for a file that the browser cannot decode.
export async function drawSpectrogram(file) {
  if (file.size > MAX_BYTES || /\.(midi?|kar|xml|musicxml|mxl|abc)$/i.test(file.name)) return null;
  let samples;
  try {
    const context = new OfflineAudioContext(1, 1, RATE);
    samples = (await context.decodeAudioData(await file.arrayBuffer())).getChannelData(0);
  } catch {
    return null;
  }
  const canvas = element("canvas", { className: "spectrogram", width: COLUMNS, height: BANDS });
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", `Spectrogram, ${LOWEST} Hz to ${RATE / 2} Hz`);
  const pen = canvas.getContext("2d"), picture = pen.createImageData(COLUMNS, BANDS);
  const edges = Array.from({ length: BANDS + 1 }, (_, band) => LOWEST * (RATE / 2 / LOWEST) ** (band / BANDS));
  const step = Math.max(1, (samples.length - WINDOW) / COLUMNS), real = new Float64Array(WINDOW), imaginary = new Float64Array(WINDOW);
  for (let column = 0; column < COLUMNS; column++) {
    const start = Math.floor(column * step);
    for (let i = 0; i < WINDOW; i++) {
      real[i] = (samples[start + i] ?? 0) * (0.5 - 0.5 * Math.cos((2 * Math.PI * i) / WINDOW));
      imaginary[i] = 0;
    }
    transform(real, imaginary);
    for (let band = 0; band < BANDS; band++) {
      const low = Math.floor((edges[band] * WINDOW) / RATE), high = Math.max(low + 1, Math.ceil((edges[band + 1] * WINDOW) / RATE));
      let power = 0;
      for (let i = low; i < high; i++) power = Math.max(power, real[i] ** 2 + imaginary[i] ** 2);
      const level = Math.min(1, Math.max(0, (10 * Math.log10(power + 1e-9) + 30) / 80));
      const at = 4 * ((BANDS - 1 - band) * COLUMNS + column);
      picture.data.set([255 * level ** 0.8, 235 * level ** 1.6, 90 + 120 * level * (1 - level), 255], at);
    }
  }
  pen.putImageData(picture, 0, 0);
  return canvas;
}

// A band with a colour and a name for each style.
export function drawSegments(parts, names, seconds) {
  const canvas = element("canvas", { className: "segments" }), kinds = [...new Set(names)];
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", "Style over time; the line below says it in words");
  new ResizeObserver(() => {
    const { pen, width, height, colour } = prepared(canvas);
    pen.font = "12px system-ui, sans-serif";
    for (const [i, part] of parts.entries()) {
      const x = (part.start / seconds) * width, end = ((parts[i + 1]?.start ?? seconds) / seconds) * width;
      pen.fillStyle = groupColour(colour, kinds.indexOf(names[i]));
      pen.fillRect(x, 0, end - x - 1, height);
      if (names[i] !== names[i - 1] && end - x > 8) {
        pen.fillStyle = colour("ground");
        pen.fillText(names[i], x + 4, height - 6, Math.max(8, width - x - 8));
      }
    }
  }).observe(canvas);
  return canvas;
}

// The discrete Fourier transform in place (Cooley and Tukey); the length is a power of two.
function transform(real, imaginary) {
  const size = real.length;
  for (let i = 1, j = 0; i < size; i++) {
    let bit = size >> 1;
    for (; j & bit; bit >>= 1) j ^= bit;
    j ^= bit;
    if (i < j) [real[i], real[j]] = [real[j], real[i]];
  }
  for (let length = 2; length <= size; length *= 2) {
    const angle = (-2 * Math.PI) / length, half = length / 2;
    for (let k = 0; k < half; k++) {
      const cos = Math.cos(angle * k), sin = Math.sin(angle * k);
      for (let i = k; i < size; i += length) {
        const j = i + half, x = real[j] * cos - imaginary[j] * sin, y = real[j] * sin + imaginary[j] * cos;
        real[j] = real[i] - x; imaginary[j] = imaginary[i] - y;
        real[i] += x; imaginary[i] += y;
      }
    }
  }
}
