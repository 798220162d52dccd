// A stand-in for a sidecar that is killed by its first call after each start, as often as the file says: dying.mjs FILE serve --stdio
import { readFileSync, writeFileSync } from "node:fs";
import { listen, send } from "./stand-in.mjs";

const [file] = process.argv.slice(2);

listen(({ id, method }) => {
  if (method === "exit") process.exit(0);
  if (id === undefined) return;
  if (method === "initialize") return send({ id, result: { capabilities: { experimental: { opencodeSidecar: { protocolVersion: 1, pid: process.pid } } } } });
  if (method === "shutdown") return send({ id, result: null });
  const left = Number(readFileSync(file, "utf8"));
  if (left > 0) {
    writeFileSync(file, String(left - 1));
    process.kill(process.pid, "SIGKILL");
  }
  send({ id, result: { configured: false, method } });
});
