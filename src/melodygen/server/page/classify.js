// The Classify room: files and folders in; a card each with styles, tempo, key, a picture of the sound with the style
// over time, and what of the library sounds like it.

import { postFile, result } from "./api.js";
import { byId, element } from "./dom.js";
import { drawSegments, drawSpectrogram } from "./spectrogram.js";

const MUSIC = /\.(wav|wave|flac|ogg|oga|opus|mp3|m4a|aac|aif|aiff|wma|mid|midi|kar|xml|musicxml|mxl|abc)$/i;
const AT_ONCE = 2;
const SHOWN_SEGMENTS = 12;

export function startClassify(say, openTrack) {
  const drop = byId("drop");
  const take = async (files) => {
    const waiting = [...files];
    if (waiting.length > 1) say(`${waiting.length} files`);
    let done = 0;
    const work = async () => {
      for (let file = waiting.shift(); file; file = waiting.shift()) {
        await classify(file, openTrack);
        say(`${++done} of ${files.length} classified`);
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, work));
  };
  for (const id of ["files", "folder"]) {
    const input = byId(id);
    input.onchange = () => {
      const files = [...input.files].filter((file) => id === "files" || MUSIC.test(file.name));
      input.value = "";
      if (files.length) take(files); else say("There is no music in that folder", true);
    };
  }
  drop.ondragover = (event) => { event.preventDefault(); drop.classList.add("over"); };
  drop.ondragleave = () => drop.classList.remove("over");
  drop.ondrop = async (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
    const files = entries.length ? (await Promise.all(entries.map(filesOf))).flat() : [...event.dataTransfer.files];
    if (files.length) take(files); else say("There is no music in it", true);
  };
}

// The files below an entry that was dropped; of a folder those that may be music.
async function filesOf(entry, inFolder = false) {
  if (entry.isFile) {
    if (inFolder && !MUSIC.test(entry.name)) return [];
    return [await new Promise((resolve, reject) => { entry.file(resolve, reject); })];
  }
  const reader = entry.createReader(), found = [];
  for (;;) { // a reader gives a hundred at a time
    const some = await new Promise((resolve, reject) => { reader.readEntries(resolve, reject); });
    if (!some.length) break;
    found.push(...some);
  }
  return (await Promise.all(found.map((inside) => filesOf(inside, true)))).flat();
}

async function classify(file, openTrack) {
  const body = element("div", { textContent: "waiting" });
  byId("found").prepend(element("li", { className: "card" }, element("strong", { textContent: file.name }), body));
  try {
    const job = await postFile("/v1/classify", file);
    const found = await result(job, (kind, data) => { if (kind === "progress") body.textContent = data.stage; });
    body.replaceChildren(...told(found));
    body.append(...await pictures(file, found), ...recommended(found, openTrack));
  } catch (error) {
    body.textContent = error.message;
    body.className = "flaw";
  }
}

function told(found) {
  const facts = [found.not_music && `not music: ${found.not_music}`, found.qpm && `${found.qpm} qpm`, found.meter, found.key,
    `${found.seconds.toFixed(1)} s`, found.classifier].filter(Boolean);
  const table = element("table");
  for (const [label, probability] of Object.entries(found.styles).slice(0, 5)) {
    const row = table.insertRow();
    const meter = element("meter", { min: 0, max: 1, value: probability });
    meter.setAttribute("aria-hidden", "true"); // the number beside it says the same
    row.insertCell().textContent = label;
    row.insertCell().append(meter);
    row.insertCell().textContent = `${Math.round(100 * probability)} %`;
  }
  const tags = Object.entries(found.tags ?? {}).slice(0, 8).map(([tag]) => tag).join(", ");
  return [table, element("p", { textContent: facts.join(" · ") }),
    ...(tags ? [element("p", { textContent: `tags: ${tags}` })] : []),
    ...found.notes.map((note) => element("p", { className: "faint", textContent: note }))];
}

async function pictures(file, found) {
  const parts = found.segments ?? [], names = parts.map((part) => Object.keys(part.styles)[0] ?? "no music");
  const shown = [];
  const spectrogram = await drawSpectrogram(file);
  if (spectrogram) shown.push(spectrogram);
  if (parts.length > 1) {
    shown.push(drawSegments(parts, names, found.seconds));
    const words = parts.slice(0, SHOWN_SEGMENTS).map((part, i) => `${Math.round(part.start)} s ${names[i]}`).join(" → ");
    shown.push(element("p", { className: "faint", textContent: words + (parts.length > SHOWN_SEGMENTS ? " …" : "") }));
  }
  return shown;
}

function recommended(found, openTrack) {
  if (!found.recommendations?.length) return [];
  const list = element("ol", { className: "tracks" }, ...found.recommendations.map((track) => element("li", {},
    element("button", { type: "button", textContent: track.name, onclick: () => openTrack(track.track) }),
    ` ${Math.round(100 * track.likeness)} % alike`)));
  return [element("h3", { textContent: "In the library, what sounds like it" }), list];
}
