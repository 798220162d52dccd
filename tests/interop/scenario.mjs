// Drives the real sidecar through the built shim, as a host does. Prints one JSON object of what it saw.
import { pathToFileURL } from "node:url";

const [dist, ...command] = process.argv.slice(2);
const { Sidecar, SidecarError, SidecarGoneError, PROTOCOL_VERSION } = await import(pathToFileURL(dist).href);
const seen = {};
const outcome = (promise) => promise.then((value) => ({ value }), (error) => error);

const notes = [];
const sidecar = new Sidecar({ command, clientInfo: { name: "interop" } });
sidecar.on("window/showMessage", (params) => notes.push(params));
sidecar.on("sync/didChangeStatus", (params) => notes.push(params.state));

const [first, second] = await Promise.all([sidecar.start(), sidecar.start()]);
seen.singleFlight = first === second;
seen.server = first.serverInfo.name;
seen.protocolVersion = first.capabilities.experimental.opencodeSidecar.protocolVersion === PROTOCOL_VERSION;
const { pid } = first.capabilities.experimental.opencodeSidecar;

seen.status = await sidecar.api.sync.status();
seen.api = { sync: Object.keys(sidecar.api.sync).length, shell: Object.keys(sidecar.api.shell).length, which: (await sidecar.api.shell.which({ name: "git" })) !== null };

const unconfigured = await outcome(sidecar.call("sync/run"));
seen.error = { ours: unconfigured instanceof SidecarError, kind: unconfigured.kind, code: unconfigured.code, remedy: unconfigured.remedy !== "" };
seen.notes = notes;
const invalid = await outcome(sidecar.call("sync/link", { remote: 5 }));
seen.invalid = { kind: invalid.kind, issues: invalid.issues };
seen.unknown = (await outcome(sidecar.call("sync/nothing"))).kind;

const kinds = [];
await sidecar.call("test/sleep", { seconds: 0.3 }, { onProgress: (progress) => kinds.push(progress.kind) });
seen.progress = { first: kinds[0], last: kinds.at(-1), reports: kinds.filter((kind) => kind === "report").length };

const abort = new AbortController();
const slow = outcome(sidecar.call("test/sleep", { seconds: 60 }, { signal: abort.signal }));
setTimeout(() => abort.abort(), 200);
const began = Date.now();
seen.aborted = { name: (await slow).name, quick: Date.now() - began < 2000 };
seen.abortedBefore = (await outcome(sidecar.call("sync/status", {}, { signal: AbortSignal.abort() }))).name;

const text = "é🙂\u2028\u0000" + "x".repeat(200_000);
seen.text = (await sidecar.call("test/echo", { value: text })).value === text;

const crashes = [];
const doomed = new Sidecar({ command, onCrash: (error) => crashes.push(error) });
const info = await doomed.start();
const pending = [outcome(doomed.call("test/sleep", { seconds: 60 })), outcome(doomed.call("test/sleep", { seconds: 60 }))];
process.kill(info.capabilities.experimental.opencodeSidecar.pid, "SIGKILL");
seen.death = (await Promise.all(pending)).every((error) => error instanceof SidecarGoneError);
const again = await doomed.start();
seen.afterDeath = again.capabilities.experimental.opencodeSidecar.pid !== info.capabilities.experimental.opencodeSidecar.pid && (await doomed.call("sync/status")).configured === false;
seen.crashes = crashes.length;
await doomed.dispose();

const noisy = new Sidecar({ command: [process.execPath, "-e", "process.stdout.write('a stray line\\r\\n\\r\\n'); setInterval(() => {}, 1000)", "--"] });
seen.noisy = (await outcome(noisy.start())) instanceof SidecarGoneError;
await noisy.dispose();
const silent = new Sidecar({ command: [process.execPath, "-e", "setInterval(() => {}, 1000)", "--"], startTimeoutMs: 300 });
seen.silent = (await outcome(silent.start())) instanceof SidecarGoneError;
await silent.dispose();

const missing = new Sidecar({ command: ["/nonexistent/opencode-sidecar"] });
seen.missing = (await outcome(missing.start())) instanceof SidecarGoneError;
await missing.dispose();

const parting = outcome(sidecar.call("test/sleep", { seconds: 60 }));
await sidecar.dispose();
seen.parting = (await parting).name;
seen.gone = await outcome(Promise.resolve().then(() => process.kill(pid, 0))).then((error) => error.code);
seen.disposed = (await outcome(sidecar.call("sync/status"))) instanceof SidecarGoneError;
console.log(JSON.stringify(seen));
