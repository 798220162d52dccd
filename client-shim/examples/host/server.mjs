// Shows the page on the loopback interface: a random token for every call, a check of Host and Origin against other web pages, a
// policy that lets no foreign script or style in. A browser tab stands for the app's window.
import { randomBytes, timingSafeEqual } from "node:crypto";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { fileURLToPath } from "node:url";

const MAX_BODY = 64 * 1024;
/** A page that does not read is let go of; it connects again and asks for the state. */
const MAX_UNREAD = 1024 * 1024;
const PING_MS = 20_000;

const local = (path) => fileURLToPath(new URL(path, import.meta.url));
const FILES = {
  "/": [local("public/index.html"), "text/html; charset=utf-8"],
  "/app.js": [local("public/app.js"), "text/javascript; charset=utf-8"],
  "/app.css": [local("public/app.css"), "text/css; charset=utf-8"],
  "/panel.js": [fileURLToPath(import.meta.resolve("opencode-sidecar/page")), "text/javascript; charset=utf-8"],
};
const HEADERS = {
  "content-security-policy":
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
  "cache-control": "no-store",
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-resource-policy": "same-origin",
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff",
};

export async function serve(bridge) {
  const token = randomBytes(32).toString("base64url");
  const server = createServer((request, response) => void answer(request, response).catch(() => response.destroy()));
  await new Promise((resolve, reject) => server.once("error", reject).listen(0, "127.0.0.1", resolve));
  const host = `127.0.0.1:${server.address().port}`;
  // Behind the # it is sent to nobody, and the page takes it out of the address at once.
  return { url: `http://${host}/#${token}`, close: () => (server.close(), server.closeAllConnections()) };

  async function answer(request, response) {
    for (const [name, value] of Object.entries(HEADERS)) response.setHeader(name, value);
    const refuse = (status) => response.writeHead(status, { "content-type": "text/plain" }).end();
    // Another name that leads to 127.0.0.1 is how a web page would get in.
    if (request.headers.host !== host) return refuse(421);
    if (request.headers.origin !== undefined && request.headers.origin !== `http://${host}`) return refuse(403);
    if (request.method === "GET" && Object.hasOwn(FILES, request.url)) {
      const [path, type] = FILES[request.url];
      return response.writeHead(200, { "content-type": type }).end(await readFile(path));
    }
    if (request.url === "/favicon.ico") return refuse(204);
    if (!allowed(request.headers.authorization)) return refuse(401);
    if (request.method === "GET" && request.url === "/events") return events(request, response);
    if (request.method === "POST" && request.url === "/call") return call(request, response);
    return refuse(404);
  }

  function allowed(authorization = "") {
    const [given, wanted] = [Buffer.from(authorization), Buffer.from(`Bearer ${token}`)];
    return given.length === wanted.length && timingSafeEqual(given, wanted);
  }

  /** One JSON object a line, for as long as the page is open. */
  function events(request, response) {
    response.writeHead(200, { "content-type": "application/x-ndjson" });
    const send = (line) => (response.writableLength > MAX_UNREAD ? response.destroy() : response.write(`${line}\n`));
    const end = bridge.listen((event, params) => send(JSON.stringify({ event, params })));
    const ping = setInterval(() => send(""), PING_MS);
    send("");
    response.once("close", () => (end(), clearInterval(ping)));
  }

  async function call(request, response) {
    const chunks = [];
    let size = 0;
    for await (const chunk of request) {
      size += chunk.length;
      if (size > MAX_BODY) return response.writeHead(413, { connection: "close" }).end();
      chunks.push(chunk);
    }
    let asked;
    try {
      asked = JSON.parse(Buffer.concat(chunks).toString("utf8"));
    } catch {
      return response.writeHead(400).end();
    }
    const result = await bridge.call(asked?.method, asked?.params);
    return response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(result));
  }
}
