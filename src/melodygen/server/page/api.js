// Requests to this server. Errors become Error objects with the server's message; a full queue is waited for.

const token = new URLSearchParams(location.hash.slice(1)).get("token") ?? sessionStorage.getItem("token");
if (token) {
  sessionStorage.setItem("token", token);
  history.replaceState(null, "", location.pathname);
}
export const hasToken = Boolean(token);
const MAX_TRIES = 60;

const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

export async function request(path, options = {}) {
  const headers = { ...options.headers, ...(token && { Authorization: `Bearer ${token}` }) };
  for (let tries = 1; ; tries++) {
    const answer = await fetch(path, { ...options, headers });
    if (answer.ok) return answer;
    if (answer.status === 429 && tries < MAX_TRIES) {
      await pause(1000 * Math.min(5, Number(answer.headers.get("Retry-After")) || 1));
      continue;
    }
    const text = await answer.text();
    let message = text;
    try { message = JSON.parse(text).error ?? text; } catch { /* plain text */ }
    throw new Error(message || `the server answered ${answer.status}`);
  }
}

export const getJson = async (path) => (await request(path)).json();

export const postJson = async (path, body) =>
  (await request(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) })).json();

export async function postFile(path, file, name = file.name) {
  const form = new FormData();
  form.append("file", file, name);
  return (await request(path, { method: "POST", body: form })).json();
}

export function save(blob, name) {
  const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

export const download = async (path, name) => save(await (await request(path)).blob(), name);

// Server-sent events of a path, as they come: { id, kind, data }.
export async function* events(path) {
  const answer = await request(path);
  const reader = answer.body.getReader(), decoder = new TextDecoder();
  let waiting = "";
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      waiting += decoder.decode(value, { stream: true });
      const parts = waiting.split("\n\n");
      waiting = parts.pop();
      for (const part of parts) {
        const fields = Object.fromEntries(part.split("\n").map((line) => {
          const at = line.indexOf(": ");
          return [line.slice(0, at), line.slice(at + 2)];
        }));
        if (fields.event) yield { id: Number(fields.id ?? 0), kind: fields.event, data: JSON.parse(fields.data) }; // else a ping
      }
    }
  } finally {
    reader.cancel().catch(() => {}); // or the connection stays, and a browser has but six
  }
}

// Follows a job's events; reconnects where the last one was, until the job has ended.
// heed(kind, data) gets each event; the promise gives the job as it ended.
export async function follow(id, heed = () => {}) {
  let after = 0;
  for (let tries = 0; tries < 100; tries++) {
    try {
      for await (const event of events(`/v1/jobs/${id}/events?after=${after}`)) {
        if (event.kind === "end") return event.data;
        after = event.id || after;
        heed(event.kind, event.data);
      }
    } catch (error) {
      if (!(error instanceof TypeError)) throw error; // not the network
    }
    await pause(500);
  }
  return getJson(`/v1/jobs/${id}`);
}

// The result of a job that was posted; its error is thrown.
export async function result(job, heed) {
  const ended = await follow(job.id, heed);
  if (ended.state !== "done") throw new Error(ended.error ?? ended.state);
  return ended.result;
}
