// Uses the package as it was packed and installed; run in the folder that holds node_modules. Prints what it saw as JSON.
import { createRequire } from "node:module";
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const [python] = process.argv.slice(2);
const require = createRequire(join(process.cwd(), "x.js"));
const esm = await import(join(process.cwd(), "node_modules/opencode-sidecar/dist/index.js"));
const cjs = require("opencode-sidecar");
const { Sidecar, SidecarGoneError, SidecarNotFoundError, locate } = esm;
const seen = { esm: typeof Sidecar, cjs: typeof cjs.Sidecar };
const outcome = (promise) => promise.then((value) => ({ value }), (error) => ({ error }));
const folder = mkdtempSync(join(tmpdir(), "package-"));
const command = [python, "-m", "sidecar"];

// --- finding the sidecar
seen.named = await locate({ ...process.env, OPENCODE_SIDECAR_COMMAND: JSON.stringify(command) });
seen.onPython = await locate({ ...process.env, PATH: join(python, "..") });
const nothing = (await outcome(locate({ PATH: folder, HOME: folder }))).error;
seen.nothing = { name: nothing.name, isOurs: nothing instanceof SidecarNotFoundError, tried: nothing.tried.length, message: nothing.message };
const wrong = (await outcome(locate({ ...process.env, OPENCODE_SIDECAR_COMMAND: "/bin/ls" }))).error;
seen.wrongSetting = wrong instanceof SidecarNotFoundError && wrong.tried.length === 1;
seen.brokenSetting = (await outcome(locate({ ...process.env, OPENCODE_SIDECAR_COMMAND: "[1" }))).error instanceof SidecarNotFoundError;
const asked = new Sidecar({ env: { PATH: folder, HOME: folder } });
seen.callWithout = (await outcome(asked.call("sync/status"))).error instanceof SidecarNotFoundError;

// --- starting again
const runs = join(folder, "runs");
const flaky = (code) => ["/bin/sh", "-c", `echo x >> '${runs}'; exit ${code}`, "--"];
const crashing = new Sidecar({ command: flaky(3) });
const errors = [];
for (let index = 0; index < 7; index++) errors.push((await outcome(crashing.call("sync/run"))).error);
seen.loop = { starts: readFileSync(runs, "utf8").length / 2, gone: errors.every((error) => error instanceof SidecarGoneError), last: errors.at(-1).message };
writeFileSync(runs, "");
const hopeless = new Sidecar({ command: flaky(78) });
for (let index = 0; index < 3; index++) await outcome(hopeless.call("sync/run"));
seen.hopelessStarts = readFileSync(runs, "utf8").length / 2;

// A read is asked again when its sidecar died, once; a write is not.
const dying = (times) => {
  const file = join(folder, `left-${times}-${Math.random()}`);
  writeFileSync(file, String(times));
  return new Sidecar({ command: [process.execPath, join(here, "dying.mjs"), file] });
};
const reading = dying(1);
seen.read = (await outcome(reading.call("sync/status"))).value?.configured;
await reading.dispose();
const hard = dying(2);
seen.readTwice = (await outcome(hard.call("sync/status"))).error instanceof SidecarGoneError;
await hard.dispose();
const writing = dying(1);
seen.write = (await outcome(writing.call("sync/run"))).error instanceof SidecarGoneError;
seen.writeAgain = (await outcome(writing.call("sync/run"))).value?.method;
await writing.dispose();

// --- the plugin under Node, as Desktop runs it: no Bun, and `$` undefined
process.env.OPENCODE_SIDECAR_COMMAND = JSON.stringify(command);
const { default: plugin, ...others } = await import(join(process.cwd(), "node_modules/opencode-sidecar/dist/plugin/index.js"));
seen.exports = Object.keys(others);
const toasts = [];
const never = () => Promise.reject(new Error("the host is not well"));
const client = { tui: { showToast: async ({ body }) => void toasts.push(body.message) }, session: { get: never, update: never }, app: { log: never } };
const began = performance.now();
const hooks = await plugin({ client, directory: folder, $: undefined }, { manual: true });
seen.pluginMs = performance.now() - began;
const second = await plugin({ client, directory: `${folder}/other`, $: undefined }, { manual: true });
const config = { command: { "sync-run": { template: "mine", description: "mine" } } };
await hooks.config(config);
seen.commands = Object.keys(config.command).sort();
seen.kept = config.command["sync-run"].template;
const tool = hooks.tool.opencode_sync;
seen.unconfigured = await tool.execute({ action: "status" });
seen.init = await tool.execute({ action: "init" });
seen.status = await second.tool.opencode_sync.execute({ action: "status" });
seen.history = await tool.execute({ action: "history" });
seen.restoreWhat = await tool.execute({ action: "restore" });
seen.restoreNothing = await tool.execute({ action: "restore", cycle: "none" });
seen.resolveNothing = await tool.execute({ action: "resolve", conflict: "nothing", choice: "mine" });
seen.resolveOff = await tool.execute({ action: "resolve" });
seen.secrets = await tool.execute({ action: "enable-secrets" });
seen.resolve = await tool.execute({ action: "resolve" });
const titles = [];
seen.doctor = await tool.execute({ action: "doctor" }, { metadata: ({ title }) => titles.push(title) });
seen.titles = titles;
seen.refused = await tool.execute({ action: "link", remote: "-x" });
await hooks.event({ event: { type: "session.idle" } });
await hooks.dispose();
await second.dispose();
seen.toasts = toasts.length;
console.log(JSON.stringify(seen));
