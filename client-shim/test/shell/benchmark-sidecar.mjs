/** What `$` over a sidecar costs beside Node's own child processes. Run after the build: node test/shell/benchmark-sidecar.mjs COMMAND [ARGUMENT …] */
import { execFile, spawn } from "node:child_process";
import { promisify } from "node:util";
import { createShell, Sidecar } from "../../dist/index.js";

const sidecar = new Sidecar({ command: process.argv.slice(2) });
await sidecar.start();
const $ = createShell(sidecar);
const run = promisify(execFile);
const median = (values) => values.sort((a, b) => a - b)[values.length >> 1];
const timed = async (work) => {
  const start = performance.now();
  await work();
  return performance.now() - start;
};

const times = { "$`/bin/true`": [], "$`true` (builtin)": [], "execFile(/bin/true)": [] };
for (let round = 0; round < 200; round += 1) {
  times["$`/bin/true`"].push(await timed(() => $`/bin/true`.quiet()));
  times["$`true` (builtin)"].push(await timed(() => $`true`.quiet()));
  times["execFile(/bin/true)"].push(await timed(() => run("/bin/true")));
}
const base = median(times["execFile(/bin/true)"]);
for (const [name, values] of Object.entries(times)) console.log(`${name}: ${median(values).toFixed(2)} ms, ${(median(values) / base).toFixed(2)}x execFile`);

const bytes = 100_000_000;
const drain = () =>
  new Promise((resolve) => {
    const child = spawn("head", ["-c", String(bytes), "/dev/zero"]);
    child.stdout.on("data", () => undefined);
    child.on("close", resolve);
  });
const rounds = { node: [], ours: [] };
for (let round = 0; round < 3; round += 1) {
  rounds.node.push(await timed(drain));
  rounds.ours.push(await timed(async () => (await $`head -c ${bytes} /dev/zero`.arrayBuffer()).byteLength === bytes || process.exit(1)));
}
console.log(`100 MB of output: ${(bytes / 1e3 / median(rounds.ours)).toFixed(0)} MB/s, ${((median(rounds.node) / median(rounds.ours)) * 100).toFixed(0)} % of child_process`);
await sidecar.dispose();
