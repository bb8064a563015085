// Requests to this server. Errors become Error objects with the server's message.

const token = new URLSearchParams(location.hash.slice(1)).get("token") ?? sessionStorage.getItem("token");
if (token) {
  sessionStorage.setItem("token", token);
  history.replaceState(null, "", location.pathname);
}

export async function request(path, options = {}) {
  const headers = { ...options.headers, ...(token && { Authorization: `Bearer ${token}` }) };
  const answer = await fetch(path, { ...options, headers });
  if (!answer.ok) {
    const text = await answer.text();
    let message = text;
    try { message = JSON.parse(text).error ?? JSON.stringify(JSON.parse(text).detail); } catch { /* plain text */ }
    throw new Error(message || `the server answered ${answer.status}`);
  }
  return answer;
}

export const getJson = async (path) => (await request(path)).json();

export const postJson = async (path, body) =>
  (await request(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) })).json();

export async function postFile(path, file) {
  const form = new FormData();
  form.append("file", file);
  return (await request(path, { method: "POST", body: form })).json();
}

export async function download(path, name) {
  const blob = await (await request(path)).blob();
  const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

// Follows a job's server-sent events; reconnects where the last event was, until the job has ended.
// heed(kind, data) gets each event; the promise gives the job as it ended.
export async function follow(id, heed) {
  let after = 0;
  for (let tries = 0; tries < 100; tries++) {
    try {
      const answer = await request(`/v1/jobs/${id}/events?after=${after}`);
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      let waiting = "";
      for (;;) {
        const { value, done } = await reader.read();
        if (done) break;
        waiting += value;
        const parts = waiting.split("\n\n");
        waiting = parts.pop();
        for (const part of parts) {
          const fields = Object.fromEntries(part.split("\n").map((line) => {
            const at = line.indexOf(": ");
            return [line.slice(0, at), line.slice(at + 2)];
          }));
          if (!fields.event) continue; // a ping
          if (fields.id) after = Number(fields.id);
          const data = JSON.parse(fields.data);
          if (fields.event === "end") return data;
          heed(fields.event, data);
        }
      }
    } catch (error) {
      if (!(error instanceof TypeError)) throw error; // not the network
    }
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
  return getJson(`/v1/jobs/${id}`);
}
