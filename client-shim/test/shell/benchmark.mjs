/** What `$` costs over a child process. Run after the build, with Node or Bun. */
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { createShell, nodeRunner } from "../../dist/shell/index.js";

const $ = createShell(nodeRunner);
const run = promisify(execFile);
const subjects = {
  "$`true` (builtin)": () => $`true`.quiet(),
  "$`echo a | cat`": () => $`echo a | cat`.quiet(),
  "$`/bin/true`": () => $`/bin/true`.quiet(),
  "execFile(/bin/true)": () => run("/bin/true"),
};
const rounds = 300;
const times = new Map(Object.keys(subjects).map((name) => [name, []]));
for (let round = 0; round < rounds; round += 1) {
  for (const [name, subject] of Object.entries(subjects)) {
    const start = performance.now();
    await subject();
    times.get(name).push(performance.now() - start);
  }
}
for (const [name, samples] of times) {
  samples.sort((a, b) => a - b);
  console.log(`${name.padEnd(24)} median ${samples[rounds / 2].toFixed(3)} ms, 95 % ${samples[Math.floor(rounds * 0.95)].toFixed(3)} ms`);
}
