// What a host meets on a bad day, under Node and under Bun: awkward.mjs DIST COMMAND…; prints what it saw as JSON.
import { spawn } from "node:child_process";
import { chmodSync, existsSync, mkdtempSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const [dist, ...command] = process.argv.slice(2);
const { createShell, locate, Sidecar, SidecarError, SidecarGoneError, SidecarNotFoundError, ShellError } = await import(pathToFileURL(dist).href);
const here = dirname(fileURLToPath(import.meta.url));
const seen = {};
const failure = (promise) => promise.then((value) => ({ value }), (error) => error);
const timed = async (promise) => {
  const began = performance.now();
  return [await promise, performance.now() - began];
};
const told = (error) => ({
  type: error instanceof SidecarGoneError ? "gone" : error instanceof SidecarError ? "error" : error instanceof SidecarNotFoundError ? "notFound" : (error?.name ?? typeof error),
  kind: error?.kind,
  message: error?.message,
  remedy: (error?.remedy ?? "") !== "",
});
const made = [];
const fake = (mode, more = {}) => {
  const sidecar = new Sidecar({ command: [process.execPath, join(here, "misbehaving.mjs"), mode], startTimeoutMs: 5000, ...more });
  made.push(sidecar);
  return sidecar;
};

// --- a sidecar that is not well
for (const mode of ["garbage", "older", "refusing", "stranger", "no-json", "endless", "huge"]) {
  const sidecar = fake(mode);
  const [error, ms] = await timed(failure(sidecar.call("sync/run")));
  seen[mode] = { ...told(error), quick: ms < 3000 };
}
{
  const silent = fake("silent", { startTimeoutMs: 400 });
  seen.silent = told(await failure(silent.call("sync/run")));
}
{
  const babbling = fake("babbles");
  seen.babbles = { first: (await babbling.call("sync/run")).calls, second: told(await failure(babbling.call("sync/run"))), after: (await babbling.call("sync/run")).calls };
}
for (const at of [1, 5]) {
  const dying = fake(`dies:${at}`);
  const results = [];
  for (let call = 0; call < at; call += 1) results.push(await failure(dying.call("sync/run")));
  seen[`dies${at}`] = { good: results.slice(0, -1).every((result) => result.value?.calls > 0), last: told(results.at(-1)), signal: results.at(-1).signal };
  const shellOnly = fake("dies:1");
  seen[`dies${at}`].shell = told(await failure(createShell(shellOnly)`some-command`.quiet()));
}
{
  const reports = 30_000;
  const flooding = fake(`floods:${reports}`);
  let count = 0;
  let ordered = true;
  let latest = 0;
  let last = performance.now();
  const pulse = setInterval(() => {
    latest = Math.max(latest, performance.now() - last);
    last = performance.now();
  }, 10);
  const answer = await flooding.call("sync/run", {}, {
    onProgress: (progress) => {
      if (progress.kind === "report") ordered &&= progress.done === count++;
    },
  });
  clearInterval(pulse);
  seen.floods = { answer: answer.calls, all: count === reports, ordered, longestWaitMs: Math.round(latest) };
}

// --- no sidecar, or a Python that cannot run it
const folder = mkdtempSync(join(tmpdir(), "awkward-"));
const python = (text) => {
  writeFileSync(join(folder, "python3"), `#!/bin/sh\n${text}\n`);
  chmodSync(join(folder, "python3"), 0o755);
};
if (!existsSync(join(folder, "sh"))) symlinkSync("/bin/sh", join(folder, "sh"));
const env = { PATH: folder, HOME: folder };
seen.nothing = told(await failure(locate(env)));
python('case "$*" in *version_info*) echo "Python 3.9.2";; *) echo "Unknown option: -P" >&2; exit 2;; esac');
seen.oldPython = told(await failure(locate(env)));
python('case "$*" in *version_info*) echo "Python 3.12.1";; *) echo "No module named sidecar" >&2; exit 1;; esac');
seen.barePython = told(await failure(locate(env)));
seen.missingShell = told(await failure(createShell(new Sidecar({ env }))`some-command`.quiet()));

// --- commands that cannot be
const sidecar = new Sidecar({ command });
const $ = createShell(sidecar);
const refused = async (params) => told(await failure(sidecar.call("shell/exec", params)));
const big = "x".repeat(10_000_000);
seen.exec = {
  notFound: await refused({ argv: ["no-such-command-here"] }),
  cwd: await refused({ argv: ["true"], cwd: join(folder, "nowhere") }),
  env: await refused({ argv: ["true"], env: { A: 5 } }),
  nul: await refused({ argv: ["echo", "a\0b"] }),
  long: await refused({ argv: ["echo", big] }),
};
const killed = await sidecar.call("shell/exec", { argv: ["sh", "-c", "kill -9 $$"] });
const bytes = Buffer.from([0xff, 0xfe, 0x00, 0x80, 0xc3]);
writeFileSync(join(folder, "bytes"), bytes);
const raw = await sidecar.call("shell/exec", { argv: ["cat", join(folder, "bytes")] });
seen.killed = { exitCode: killed.exitCode, signal: killed.signal };
seen.notUtf8 = Buffer.from(raw.stdout.data, "base64").equals(bytes);
const shell = async (promise) => {
  const error = await failure(promise);
  return { shellError: error instanceof ShellError, name: error.name, code: error.code, exitCode: error.exitCode, stderr: error.stderr?.toString(), message: error.message };
};
seen.shell = {
  notFound: await shell($`no-such-command-here`.quiet()),
  cwd: await shell($`/bin/echo`.cwd(join(folder, "nowhere")).quiet()),
  nul: await shell((async () => $`/bin/echo ${"a\0b"}`.quiet())()),
  long: await shell($`/bin/echo ${big}`.quiet()),
  killed: await shell($`sh -c 'kill -9 $$'`.quiet()),
  env: (await $`sh -c 'printf %s "$A"'`.env({ PATH: process.env.PATH, A: 5 }).quiet()).stdout.toString(),
  bytes: Buffer.from((await $`/bin/cat ${join(folder, "bytes")}`.quiet()).stdout).equals(bytes),
  text: (await $`/bin/cat ${join(folder, "bytes")}`.text()).includes("\ufffd"),
};
const { pid } = (await sidecar.start()).capabilities.experimental.opencodeSidecar;
const interrupted = failure($`sleep 30`.quiet());
await new Promise((resolve) => setTimeout(resolve, 300));
process.kill(pid, "SIGKILL");
seen.lost = told(await interrupted);
seen.wellAfterwards = (await $`/bin/echo well`.text()).trim();

// --- two shells over one sidecar, and a listener of the notification beside them
const other = createShell(sidecar);
const noted = [];
sidecar.on("shell/didOutput", ({ data }) => noted.push(Buffer.from(data, "base64").toString()));
const both = await Promise.all([$`/bin/echo one`.text(), other`/bin/echo two`.text()]);
seen.both = { text: both.join(""), noted: noted.sort().join("") };
await sidecar.dispose();

// --- a host that never reads
const child = spawn(command[0], [...command.slice(1), "serve", "--stdio"], { stdio: ["pipe", "pipe", "ignore"] });
child.stdout.pause();
const send = (message) => {
  const body = JSON.stringify({ jsonrpc: "2.0", ...message });
  child.stdin.write(`Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`);
};
child.stdin.on("error", () => undefined);
send({ id: 1, method: "initialize", params: { capabilities: { experimental: { opencodeSidecar: { binaryOutput: true } } } } });
send({ id: 2, method: "shell/start", params: { processId: "p", argv: ["head", "-c", "2000000000", "/dev/zero"], windowBytes: 64 << 20 } });
for (let id = 3; id < 3000; id += 1) send({ id, method: "shell/env", params: {} });
await new Promise((resolve) => setTimeout(resolve, 2500));
const status = existsSync(`/proc/${child.pid}/status`) ? readFileSync(`/proc/${child.pid}/status`, "utf8") : "";
seen.neverReads = { peakKb: Number(/VmHWM:\s+(\d+)/.exec(status)?.[1] ?? 0), runs: child.exitCode === null };
const gone = new Promise((resolve) => child.once("exit", resolve));
const began = performance.now();
child.stdin.end();
child.stdin.destroy();
await Promise.race([gone, new Promise((resolve) => setTimeout(resolve, 15_000))]);
seen.neverReads.endedMs = child.exitCode === null && child.signalCode === null ? null : Math.round(performance.now() - began);
child.kill("SIGKILL");
await Promise.all(made.map((sidecar) => sidecar.dispose()));
console.log(JSON.stringify(seen));
process.exit(0);
