/** The page that `servePanel` shows: the panel, and a port to the app over fetch. */
import type { Answer, PanelHost } from "./index.js";
import "./index.js";

const RECONNECT_MS = 1000;
const listeners = new Map<string, Set<(params: unknown) => void>>();
const token = start();

/** The link's code is good once; what it is exchanged for lasts as long as this tab. */
async function start(): Promise<string | null> {
  const code = location.hash.slice(1);
  history.replaceState(null, "", "/");
  if (code !== "") {
    const response = await fetch("/start", { method: "POST", body: JSON.stringify({ code }) });
    if (response.ok) sessionStorage.setItem("token", ((await response.json()) as { token: string }).token);
  }
  return sessionStorage.getItem("token");
}

async function ask(path: string, init: RequestInit = {}): Promise<Response> {
  const response = await fetch(path, { ...init, headers: { authorization: `Bearer ${await token}` } });
  if (response.ok) return response;
  throw new Error(response.status === 401 ? "This address has been used up: open the page from the app again." : `The app answered ${response.status}.`);
}

const host: PanelHost = {
  async call(method, params) {
    const response = await ask("/call", { method: "POST", body: JSON.stringify({ method, params }) });
    return (await response.json()) as Answer;
  },
  on(event, listener) {
    const known = listeners.get(event) ?? new Set();
    listeners.set(event, known.add(listener));
    return () => void known.delete(listener);
  },
};

function tell(event: string, params: unknown): void {
  for (const listener of listeners.get(event) ?? []) listener(params);
}

/** Events come line by line. After a break the panel asks for what it missed. */
async function listen(): Promise<never> {
  for (let first = true; ; first = false) {
    try {
      const { body } = await ask("/events");
      if (!first) tell("sync/didApply", {});
      if (body !== null) for await (const line of lines(body)) tell(...(Object.values(JSON.parse(line) as object) as [string, unknown]));
    } catch {
      // the app has gone, or the connection was cut
    }
    await new Promise((resolve) => setTimeout(resolve, RECONNECT_MS));
  }
}

async function* lines(body: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  const reader = body.getReader();
  let rest = "";
  for (let next = await reader.read(); !next.done; next = await reader.read()) {
    const found = (rest + decoder.decode(next.value, { stream: true })).split("\n");
    rest = found.pop() ?? "";
    yield* found.filter(Boolean);
  }
}

void listen();
const panel = document.querySelector("opencode-sidecar-panel");
if (panel !== null) panel.host = host;
