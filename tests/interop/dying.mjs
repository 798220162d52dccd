// A stand-in for a sidecar that is killed by its first call after each start, as often as the file says: dying.mjs FILE serve --stdio
import { readFileSync, writeFileSync } from "node:fs";

const [file] = process.argv.slice(2);
let buffer = Buffer.alloc(0);
const answer = (id, result) => {
  const body = JSON.stringify({ jsonrpc: "2.0", id, result });
  process.stdout.write(`Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`);
};
process.stdin.on("end", () => process.exit(0)).on("data", (data) => {
  buffer = Buffer.concat([buffer, data]);
  for (;;) {
    const head = buffer.indexOf("\r\n\r\n");
    if (head < 0) return;
    const length = Number(/Content-Length: (\d+)/i.exec(buffer.subarray(0, head).toString())[1]);
    if (buffer.length < head + 4 + length) return;
    const message = JSON.parse(buffer.subarray(head + 4, head + 4 + length).toString());
    buffer = buffer.subarray(head + 4 + length);
    if (message.method === "exit") process.exit(0);
    if (message.id === undefined) continue;
    if (message.method === "initialize") answer(message.id, { capabilities: { experimental: { opencodeSidecar: { protocolVersion: 1, pid: process.pid } } } });
    else if (message.method === "shutdown") answer(message.id, null);
    else {
      const left = Number(readFileSync(file, "utf8"));
      if (left > 0) {
        writeFileSync(file, String(left - 1));
        process.kill(process.pid, "SIGKILL");
      }
      answer(message.id, { configured: false, method: message.method });
    }
  }
});
