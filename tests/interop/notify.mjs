// Notifications of the installed package; run in the folder that holds node_modules. Prints what it saw as JSON.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

const dist = join(process.cwd(), "node_modules/opencode-sidecar/dist");
const { Notifier } = await import(join(dist, "notify/index.js"));
const { notifyCommand } = await import(join(dist, "notify/commands.js"));
const { default: plugin } = await import(join(dist, "plugin/index.js"));
const [what] = process.argv.slice(2);
const seen = {};
const open = setInterval(() => undefined, 1000); // notifications do not keep a program running; a host is running anyway

if (what === "words") {
  const notifier = new Notifier();
  const hostile = "--hint=x `touch /tmp/owned` $(id) <img src=x onerror=alert(1)> & \"quotes\" 'too'\u0000\u202e end";
  notifier.show(hostile);
  await notifier.idle();
  notifier.show("x".repeat(5000));
  await notifier.idle();
  for (let index = 0; index < 20; index++) notifier.show(`burst ${index}`);
  await notifier.idle();
  const nowhere = new Notifier({ env: { PATH: "/nonexistent" } });
  nowhere.show("nobody sees this");
  await nowhere.idle();
  nowhere.show("nor this");
  seen.commands = Object.fromEntries(["darwin", "win32", "aix"].map((platform) => [platform, ["one", `"; evil 'x' $(id)`].map((body) => notifyCommand({ title: "t", body }, platform, { SystemRoot: "C:\\Windows" }) ?? null)]));
}

if (what === "plugin") {
  const [, options] = process.argv.slice(2);
  const toasts = [];
  const quiet = async () => ({});
  const client = { tui: { showToast: async ({ body }) => toasts.push(body.message) }, app: { log: quiet }, session: { get: quiet, update: quiet } };
  const hooks = await plugin({ client, directory: process.cwd() }, JSON.parse(options));
  const answer = () => hooks.tool.opencode_sync.execute({ action: "run" });
  seen.first = await answer();
  if (process.env.SHOWN !== undefined) {
    const shown = () => readdirSync(process.env.SHOWN).some((name) => !name.endsWith(".part") && JSON.parse(readFileSync(join(process.env.SHOWN, name), "utf8")).at(-1).startsWith("❓"));
    for (const end = Date.now() + 10_000; !shown() && Date.now() < end; ) await new Promise((resolve) => setTimeout(resolve, 50));
  }
  await hooks.dispose();
  seen.toasts = toasts;
}

if (what === "page") {
  const quiet = async () => ({});
  const client = { tui: { showToast: quiet }, app: { log: quiet }, session: { get: quiet, update: quiet } };
  const hooks = await plugin({ client, directory: process.cwd() }, { manual: true });
  seen.answer = await hooks.tool.opencode_sync.execute({ action: "page" });
  const url = process.argv[3] === undefined ? undefined : readFileSync(process.argv[3], "utf8");
  if (url !== undefined) {
    seen.url = url;
    const [base, code] = url.split("#");
    const post = (path, body, headers = {}) => fetch(base + path, { method: "POST", body: JSON.stringify(body), headers });
    const { token } = await (await post("start", { code })).json();
    seen.status = await (await post("call", { method: "sync/status", params: {} }, { authorization: `Bearer ${token}` })).json();
    await hooks.dispose();
    seen.after = await fetch(base).then(() => "still there", () => "gone");
  } else await hooks.dispose();
}

clearInterval(open);
console.log(JSON.stringify(seen));
