// The page: rooms, the player at the bottom, keys.

import { startClassify } from "./classify.js";
import { Library } from "./library.js";
import { Live } from "./live.js";
import { Player } from "./player.js";
import { Studio } from "./studio.js";

const status = document.getElementById("status");
const say = (text, isError = false) => { status.textContent = text; status.classList.toggle("error", isError); };
const player = new Player();
const studio = new Studio(player, say), library = new Library(player, say), live = new Live(player, say);
window.melodygen = { player, studio, library, live }; // for tests and for those who script the page

const tabs = [...document.querySelectorAll("[role=tab]")];
const open = (tab) => {
  for (const other of tabs) {
    const isOpen = other === tab;
    other.setAttribute("aria-selected", isOpen);
    other.tabIndex = isOpen ? 0 : -1;
    document.getElementById(other.getAttribute("aria-controls")).hidden = !isOpen;
  }
  if (tab.id === "tab-library") library.open();
  if (tab.id === "tab-live") live.open();
};
const isOpen = (id) => !document.getElementById(id).hidden;
for (const [index, tab] of tabs.entries()) {
  tab.onclick = () => open(tab);
  tab.onkeydown = (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (step) { const next = tabs[(index + step + tabs.length) % tabs.length]; open(next); next.focus(); }
  };
}

const time = (seconds) => `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;
const toggle = () => (player.playing ? player.pause() : player.play().catch((error) => say(error.message, true)));
document.getElementById("play").onclick = toggle;
document.getElementById("stop").onclick = () => player.stop();
document.getElementById("loop").onchange = (event) => { player.loop = event.target.checked; };
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input, select, textarea, button, summary")) return;
  if (isOpen("live") && live.key(event.key)) event.preventDefault();
  else if (event.code === "Space") { event.preventDefault(); toggle(); }
  else if (isOpen("generate") && /^[1-8]$/.test(event.key)) studio.choose(Number(event.key));
});

player.addEventListener("load", () => {
  document.getElementById("tracks").replaceChildren(...player.score.tracks.map((track) => {
    const node = document.createElement("span");
    node.className = "track";
    const press = (text, label, name) => {
      const made = Object.assign(document.createElement("button"), { textContent: text, type: "button" });
      made.setAttribute("aria-label", `${label} ${track.role}`);
      made.setAttribute("aria-pressed", player.tracks.get(track.role)[name]);
      made.onclick = () => {
        player.setTrack(track.role, { [name]: !player.tracks.get(track.role)[name] });
        made.setAttribute("aria-pressed", player.tracks.get(track.role)[name]);
      };
      return made;
    };
    const level = Object.assign(document.createElement("input"), { type: "range", min: 0, max: 127, value: player.tracks.get(track.role).level });
    level.setAttribute("aria-label", `Level of ${track.role}`);
    level.oninput = () => player.setTrack(track.role, { level: Number(level.value) });
    const swatch = document.createElement("span");
    swatch.className = `swatch ${track.role}`;
    node.append(swatch, track.role, press("M", "Mute", "muted"), press("S", "Solo", "solo"), level);
    return node;
  }));
});

// Only what has changed is written: a page at rest costs nothing.
const put = (id, text) => { const node = document.getElementById(id); if (node.textContent !== text) node.textContent = text; };
let isDue = false;
const frame = () => {
  isDue = false;
  put("play", player.playing ? "❚❚" : "▶");
  if (player.score) put("position", `${time(player.position)} / ${time(player.score.seconds)}`);
  if (player.playing) { studio.draw(); next(); }
};
const next = () => { if (!isDue) { isDue = true; requestAnimationFrame(frame); } };
player.addEventListener("state", next);
player.addEventListener("load", next);
document.getElementById("stop-port").onclick = () => live.stop();
startClassify(say, (track) => { const tab = document.getElementById("tab-library"); open(tab); tab.focus(); library.choose(track); });
studio.start().catch((error) => say(error.message, true));
