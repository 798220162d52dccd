// The window's side: a port of two functions, and the panel.
import "/panel.js";

const RECONNECT_MS = 1000;
if (location.hash.length > 1) {
  sessionStorage.setItem("token", location.hash.slice(1));
  history.replaceState(null, "", "/");
}
const headers = { authorization: `Bearer ${sessionStorage.getItem("token")}` };
const listeners = new Map();

const host = {
  async call(method, params) {
    const response = await fetch("/call", { method: "POST", headers: { ...headers, "content-type": "application/json" }, body: JSON.stringify({ method, params }) });
    if (!response.ok) throw new Error(response.status === 401 ? "This window was opened without its token; open it from the app again." : `The app answered ${response.status}.`);
    return response.json();
  },
  on(event, listener) {
    if (!listeners.has(event)) listeners.set(event, new Set());
    listeners.get(event).add(listener);
    return () => listeners.get(event).delete(listener);
  },
};

const tell = (event, params) => listeners.get(event)?.forEach((listener) => listener(params));

/** Events come line by line; after a break the panel asks for what it missed. */
async function listen() {
  for (let first = true; ; first = false) {
    try {
      const response = await fetch("/events", { headers });
      if (response.status === 401) return;
      if (!first) tell("sync/didApply", { sessionIds: [] });
      let rest = "";
      for await (const chunk of chunks(response.body.pipeThrough(new TextDecoderStream()))) {
        const lines = (rest + chunk).split("\n");
        rest = lines.pop();
        for (const line of lines) if (line !== "") tell(...Object.values(JSON.parse(line)));
      }
    } catch {
      // the app has gone, or the connection was cut
    }
    await new Promise((resolve) => setTimeout(resolve, RECONNECT_MS));
  }
}

async function* chunks(stream) {
  const reader = stream.getReader();
  for (let next = await reader.read(); !next.done; next = await reader.read()) yield next.value;
}

void listen();
document.querySelector("opencode-sidecar-panel").host = host;
