// The Classify room: files in, a card each with styles, tempo, key and styles over time.

import { follow, postFile } from "./api.js";

export function startClassify(say) {
  const drop = document.getElementById("drop"), input = document.getElementById("files");
  const take = async (files) => {
    for (const file of files) await classify(file, say);
  };
  input.onchange = () => take([...input.files]).finally(() => { input.value = ""; });
  drop.ondragover = (event) => { event.preventDefault(); drop.classList.add("over"); };
  drop.ondragleave = () => drop.classList.remove("over");
  drop.ondrop = (event) => { event.preventDefault(); drop.classList.remove("over"); take([...event.dataTransfer.files]); };
}

async function classify(file, say) {
  const card = document.createElement("li");
  card.className = "card";
  const title = Object.assign(document.createElement("strong"), { textContent: file.name });
  const body = Object.assign(document.createElement("div"), { textContent: "waiting" });
  card.append(title, body);
  document.getElementById("found").prepend(card);
  try {
    const job = await postFile("/v1/classify", file);
    const ended = await follow(job.id, (kind, data) => { if (kind === "progress") body.textContent = data.stage; });
    if (ended.state !== "done") throw new Error(ended.error ?? ended.state);
    show(body, ended.result);
    say(`${file.name}: classified`);
  } catch (error) {
    body.textContent = error.message;
    body.className = "flaw";
  }
}

function show(body, found) {
  const facts = [found.not_music && `not music: ${found.not_music}`, found.qpm && `${found.qpm} qpm`, found.meter, found.key,
    `${found.seconds.toFixed(1)} s`, found.classifier, ...found.notes].filter(Boolean);
  const table = document.createElement("table");
  for (const [label, probability] of Object.entries(found.styles).slice(0, 5)) {
    const row = table.insertRow();
    row.insertCell().textContent = label;
    row.insertCell().append(Object.assign(document.createElement("meter"), { min: 0, max: 1, value: probability }));
    row.insertCell().textContent = `${Math.round(100 * probability)} %`;
  }
  const tags = Object.entries(found.tags ?? {}).slice(0, 8).map(([tag]) => tag).join(", ");
  body.replaceChildren(table, facts.join(" · "));
  if (tags) body.append(document.createElement("br"), `tags: ${tags}`);
  if (found.segments?.length > 1) {
    const list = document.createElement("p");
    list.textContent = found.segments.map((part) =>
      `${Math.round(part.start)} s ${Object.keys(part.styles)[0] ?? "no music"}`).join(" → ");
    body.append(list);
  }
}
