import { randomBytes, timingSafeEqual } from "node:crypto";
import { readFile } from "node:fs/promises";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { fileURLToPath } from "node:url";
import type { PanelBridge } from "./bridge.js";

const MAX_BODY = 64 * 1024;
/** A page that does not read is let go of; it connects again and asks for the state. */
const MAX_UNREAD = 1024 * 1024;
const PING_MS = 20_000;
const LINK_MS = 60_000;

const HTML = `<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8" />
    <meta name="viewport" content="width=device-width, initial-scale=1" />
    <meta name="color-scheme" content="light dark" />
    <title>opencode sync</title>
    <link rel="stylesheet" href="/app.css" />
    <script type="module" src="/app.js"></script>
  </head>
  <body>
    <main>
      <h1>opencode sync</h1>
      <opencode-sidecar-panel></opencode-sidecar-panel>
    </main>
  </body>
</html>
`;
const CSS = "html { color-scheme: light dark; background: #fff; } body { margin: 0; } h1 { position: absolute; clip-path: inset(50%); } @media (prefers-color-scheme: dark) { html { background: #15171c; } }\n";
const SCRIPT = fileURLToPath(new URL("./page/app.js", import.meta.url));

/** No foreign script or style, no inline ones, nothing that makes HTML out of text. */
const HEADERS = {
  "content-security-policy":
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
  "cache-control": "no-store",
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-resource-policy": "same-origin",
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff",
};

export interface PanelServer {
  /** An address that opens the panel, once and within a minute: who reads it later in a list of processes gets nothing. */
  link(): string;
  close(): Promise<void>;
}

/** Shows the panel on the loopback interface, for apps without windows of their own. Keeps no process running by itself. */
export async function servePanel(bridge: PanelBridge): Promise<PanelServer> {
  const script = await readFile(SCRIPT);
  const site = new Site(bridge, script);
  const server = createServer((request, response) => void site.answer(request, response).catch(() => response.destroy()));
  const sockets = new Set<Socket>();
  server.on("connection", (socket) => {
    sockets.add(socket.unref());
    socket.once("close", () => sockets.delete(socket));
  });
  await new Promise<void>((resolve, reject) => server.once("error", reject).listen(0, "127.0.0.1", resolve));
  server.unref();
  site.host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    link: () => site.link(),
    close: async () => {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

class Site {
  host = "";
  readonly #bridge: PanelBridge;
  readonly #files: Map<string, [string, string | Buffer]>;
  readonly #token = secret();
  readonly #codes = new Map<string, number>();

  constructor(bridge: PanelBridge, script: Buffer) {
    this.#bridge = bridge;
    this.#files = new Map<string, [string, string | Buffer]>([
      ["/", ["text/html; charset=utf-8", HTML]],
      ["/app.css", ["text/css; charset=utf-8", CSS]],
      ["/app.js", ["text/javascript; charset=utf-8", script]],
    ]);
  }

  /** What is behind the # is sent to nobody; the page exchanges it for its token and takes it out of the address. */
  link(): string {
    const code = secret();
    this.#codes.set(code, Date.now() + LINK_MS);
    return `http://${this.host}/#${code}`;
  }

  async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    for (const [name, value] of Object.entries(HEADERS)) response.setHeader(name, value);
    const { method, url = "", headers } = request;
    // Another name that leads to 127.0.0.1 is how a web page would get in.
    if (headers.host !== this.host) return status(response, 421);
    if (headers.origin !== undefined && headers.origin !== `http://${this.host}`) return status(response, 403);
    const file = this.#files.get(url);
    if (method === "GET" && file !== undefined) return send(response, ...file);
    if (method === "GET" && url === "/favicon.ico") return status(response, 204);
    if (method === "POST" && url === "/start") return this.#start(await body(request), response);
    if (!this.#allowed(headers.authorization)) return status(response, 401);
    if (method === "GET" && url === "/events") return this.#events(response);
    if (method === "POST" && url === "/call") return this.#call(await body(request), response);
    return status(response, 404);
  }

  #start(asked: Asked, response: ServerResponse): void {
    const code = String(asked?.["code"]);
    const until = this.#codes.get(code) ?? 0;
    this.#codes.delete(code);
    if (Date.now() > until) return status(response, 401);
    send(response, "application/json", JSON.stringify({ token: this.#token }));
  }

  async #call(asked: Asked, response: ServerResponse): Promise<void> {
    if (asked === undefined) return status(response, 400);
    send(response, "application/json", JSON.stringify(await this.#bridge.call(asked["method"], asked["params"])));
  }

  /** One JSON object a line, for as long as the page is open. */
  #events(response: ServerResponse): void {
    response.writeHead(200, { "content-type": "application/x-ndjson" });
    const send = (line: string): void => void (response.writableLength > MAX_UNREAD ? response.destroy() : response.write(`${line}\n`));
    const end = this.#bridge.listen((event, params) => send(JSON.stringify({ event, params })));
    const ping = setInterval(() => send(""), PING_MS).unref();
    send("");
    response.once("close", () => {
      end();
      clearInterval(ping);
    });
  }

  #allowed(authorization = ""): boolean {
    const [given, wanted] = [Buffer.from(authorization), Buffer.from(`Bearer ${this.#token}`)];
    return given.length === wanted.length && timingSafeEqual(given, wanted);
  }
}

type Asked = Record<string, unknown> | undefined;

/** The JSON object that was sent; undefined when it is none, or too long. */
async function body(request: IncomingMessage): Promise<Asked> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size <= MAX_BODY) chunks.push(chunk);
  }
  try {
    const found: unknown = size > MAX_BODY ? undefined : JSON.parse(Buffer.concat(chunks).toString("utf8"));
    return typeof found === "object" && found !== null ? (found as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

function send(response: ServerResponse, type: string, content: string | Buffer): void {
  response.writeHead(200, { "content-type": type }).end(content);
}

function status(response: ServerResponse, code: number): void {
  response.writeHead(code, { "content-type": "text/plain" }).end();
}

function secret(): string {
  return randomBytes(32).toString("base64url");
}
