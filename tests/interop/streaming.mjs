// Output that its reader takes slowly, through `$`: streaming.mjs DIST BYTES COMMAND…; prints what it saw as JSON.
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const [dist, size, ...command] = process.argv.slice(2);
const { createShell, Sidecar, sidecarRunner } = await import(pathToFileURL(dist).href);
const bytes = Number(size);
const sidecar = new Sidecar({ command });
const { pid } = (await sidecar.start()).capabilities.experimental.opencodeSidecar;
const $ = createShell(sidecar);
const peakKb = () => Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))[1]);
const seen = {};
await $`/bin/echo warm`.text();
const before = peakKb();
const rss = process.memoryUsage().rss;
let most = rss;
const sampler = setInterval(() => (most = Math.max(most, process.memoryUsage().rss)), 20);

// A reader in the host that takes a piece, then rests: what waits for it waits in the command.
const running = sidecarRunner(sidecar).spawn({ argv: ["head", "-c", String(bytes), "/dev/zero"], cwd: "/", env: process.env, stdin: null });
let taken = 0;
let rests = 0;
for await (const chunk of running.stdout) {
  taken += chunk.length;
  if (taken > (rests + 1) * (bytes / 40)) {
    rests += 1;
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
}
seen.taken = taken === bytes;
seen.exit = await running.exited;

// A slow command at the end of a pipe: the bytes come from the sidecar and go back to it.
const slow = "n=0; while dd bs=65536 count=16 iflag=fullblock 2>/dev/null | { c=$(wc -c); [ $c -gt 0 ] && echo $c; }; do sleep 0.02; done";
const counted = await $`head -c ${Math.min(bytes, 50_000_000)} /dev/zero | sh -c ${slow}`.quiet();
seen.piped = counted.stdout.toString().trim().split("\n").reduce((sum, line) => sum + Number(line), 0) === Math.min(bytes, 50_000_000);
clearInterval(sampler);
seen.sidecarGrewKb = peakKb() - before;
seen.hostGrewKb = Math.round((most - rss) / 1024);
// All of it in memory, which is what this asks for; the bytes are as they were.
seen.inMemory = (await $`head -c 20000000 /dev/urandom > ${process.env.SCRATCH}; cat ${process.env.SCRATCH}`.quiet()).stdout.equals(readFileSync(process.env.SCRATCH));
await sidecar.dispose();
console.log(JSON.stringify(seen));
