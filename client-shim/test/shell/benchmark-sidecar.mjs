/** What `$` over a sidecar costs beside Node's own child processes. Run after the build: node test/shell/benchmark-sidecar.mjs COMMAND [ARGUMENT …] */
import { execFile, spawn } from "node:child_process";
import { promisify } from "node:util";
import { createShell, Sidecar, sidecarRunner } from "../../dist/index.js";

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

// Both sides do the same work: throw the output away as it comes, or put it together in memory.
const bytes = 100_000_000;
const argv = ["head", "-c", String(bytes), "/dev/zero"];
const runner = sidecarRunner(sidecar);
const check = (length) => length === bytes || process.exit(1);
const node = (keep) =>
  new Promise((resolve) => {
    const chunks = [];
    let length = 0;
    const child = spawn(argv[0], argv.slice(1));
    child.stdout.on("data", (chunk) => {
      length += chunk.length;
      if (keep) chunks.push(chunk);
    });
    child.on("close", () => resolve(check(keep ? Buffer.concat(chunks).length : length)));
  });
const drained = async () => {
  let length = 0;
  const running = runner.spawn({ argv, cwd: "/", env: process.env, stdin: null });
  for await (const chunk of running.stdout) length += chunk.length;
  await running.exited;
  check(length);
};
const subjects = {
  "as it comes": [() => node(false), drained],
  "in memory": [() => node(true), async () => check((await $`${argv}`.arrayBuffer()).byteLength)],
};
for (const [name, [theirs, ours]] of Object.entries(subjects)) {
  const rounds = { theirs: [], ours: [] };
  for (let round = 0; round < 9; round += 1) {
    rounds.theirs.push(await timed(theirs));
    rounds.ours.push(await timed(ours));
  }
  console.log(`100 MB of output, ${name}: ${(bytes / 1e3 / median(rounds.ours)).toFixed(0)} MB/s, ${((median(rounds.theirs) / median(rounds.ours)) * 100).toFixed(0)} % of child_process`);
}
await sidecar.dispose();
