// A stand-in for a sidecar that misbehaves: misbehaving.mjs MODE serve --stdio
import { listen, send } from "./stand-in.mjs";

const [mode, number] = process.argv[2].split(":");
let calls = 0;
const experimental = (more) => ({ capabilities: { experimental: { opencodeSidecar: { protocolVersion: 1, pid: process.pid, ...more } } } });

if (mode === "garbage") process.stdout.write("Welcome to a program that talks to people\n");
listen(receive);

function receive({ id, method, params }) {
  if (method === "exit") process.exit(0);
  if (id === undefined) return;
  if (method === "shutdown") return send({ id, result: null });
  if (method === "initialize") {
    if (mode === "silent") return;
    if (mode === "older") return send({ id, result: experimental({ protocolVersion: 0 }) });
    if (mode === "refusing") return send({ id, error: { code: -31024, message: "The host speaks protocol 1, this server 0.", data: { kind: "unsupported", remedy: "Update." } } });
    if (mode === "stranger") return send({ id, result: { capabilities: { hoverProvider: true } } });
    return send({ id, result: experimental({}) });
  }
  calls += 1;
  if (mode === "dies" && calls === Number(number)) process.kill(process.pid, "SIGKILL");
  if (mode === "babbles" && calls === 2) return void process.stdout.write("Traceback (most recent call last):\n  File \"x.py\"\n\n");
  if (mode === "no-json") return void process.stdout.write("Content-Length: 9\r\n\r\n{\"id\": no");
  if (mode === "endless") return void process.stdout.write(`Content-Length: 1\r\n${"X-More: y\r\n".repeat(2000)}`);
  if (mode === "huge") return void process.stdout.write("Content-Length: 99999999999\r\n\r\n");
  if (mode === "floods") {
    for (let done = 0; done < Number(number); done += 1) send({ method: "$/progress", params: { token: params.workDoneToken, value: { kind: "report", phase: "x", done, total: null, bytes: 0 } } });
    send({ method: "$/progress", params: { token: params.workDoneToken, value: { kind: "end" } } });
  }
  send({ id, result: { calls } });
}
