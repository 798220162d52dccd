import { SidecarError } from "../errors.js";
import type { CycleResult } from "../generated/protocol.js";
import { SidecarNotFoundError } from "../locate.js";
import type { Notifier } from "../notify/index.js";
import type { PanelServer } from "../page-server.js";
import type { Question } from "../questions.js";
import { type Method, Sidecar, type SidecarOptions } from "../sidecar.js";
import { updating } from "./line.js";
import type { OpencodeClient, PluginInput } from "./opencode.js";

const FIRST_CYCLE_MS = 300;
/** A session must have been quiet for 3 s before it is published. */
const AFTER_IDLE_MS = 3_500;
const INTERVAL_S = 120;
const MIN_INTERVAL_S = 5;
/** How long opencode may be held up when it ends. */
const FINISH_MS = 3_000;
const MAX_REFRESHED = 20;
/** The same trouble is not shown again for so long. */
const REPEAT_MS = 30 * 60_000;
const TOAST_MS = 5_000;
const QUESTION_MS = 20_000;
/** How a question is answered without the page, by its kind. */
const COMMANDS: Record<string, string> = {
  deletionGuard: "`opencode-sidecar sync --deletions restore` or `--deletions publish`",
  identityCloned: "`opencode-sidecar link REMOTE --same-device` or `--new-device`",
};
/** A cycle that takes long says how far it is: in the terminal UI each toast takes the place of the one before. */
const PROGRESS_AFTER_MS = 2_000;
const PROGRESS_EVERY_MS = 2_000;

export interface PluginOptions extends Pick<SidecarOptions, "command" | "roots"> {
  /** Seconds between cycles while opencode is open; 120 by default. */
  intervalSeconds?: number;
  /** Only what the user asks for: no cycles at start, after a turn, or on a timer. */
  manual?: boolean;
  /** Show no toasts, and no notifications. */
  quiet?: boolean;
  /** Notifications of the operating system; by default on Desktop alone, whose window shows no toasts. */
  notifications?: boolean;
}

type Cycle = Extract<Method, "sync/run" | "sync/pull" | "sync/push">;

/** One sidecar for the whole process, however many directories are open. Nothing in here ever throws into opencode. */
export class SyncHost {
  readonly sidecar: Sidecar;
  readonly #options: PluginOptions;
  readonly #windows = new Map<symbol, PluginInput>();
  readonly #shown = new Map<string, number>();
  readonly #notifies: boolean;
  #notifier: Promise<Notifier> | undefined;
  #page: Promise<PanelServer> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #soon: NodeJS.Timeout | undefined;
  #stopped = false;

  constructor(options: PluginOptions) {
    this.#options = options;
    this.#notifies = options.quiet !== true && (options.notifications ?? isDesktop());
    this.sidecar = new Sidecar({ clientInfo: { name: "opencode" }, onQuestion: (question) => this.#asked(question), ...(options.command && { command: options.command }), ...(options.roots && { roots: options.roots }) });
    this.sidecar.on("window/showMessage", ({ type, message }) => this.#toast(type, message));
    this.sidecar.on("window/logMessage", ({ type, message }) => this.#log(type === 1 ? "error" : type === 2 ? "warn" : "info", message));
    this.sidecar.on("sync/didApply", ({ sessionIds, refreshable }) => this.#applied(sessionIds, refreshable));
    if (options.manual === true) return;
    const seconds = Math.max(MIN_INTERVAL_S, options.intervalSeconds ?? INTERVAL_S);
    this.#timer = setInterval(() => void this.automatic(), seconds * 1000);
    this.#timer.unref();
    this.#later(FIRST_CYCLE_MS);
  }

  /** Returns what takes the directory away again. */
  attach(input: PluginInput): () => boolean {
    const key = Symbol(input.directory);
    this.#windows.set(key, input);
    return () => this.#windows.delete(key) && this.#windows.size === 0;
  }

  /** A turn has ended, or something was deleted. */
  changed(): void {
    if (this.#options.manual !== true) this.#later(AFTER_IDLE_MS);
  }

  /** A cycle that nobody asked for: its failures are logged, and shown once in a while. */
  async automatic(method: Cycle = "sync/run"): Promise<CycleResult | undefined> {
    if (this.#stopped) return undefined;
    try {
      return await this.sidecar.call(method, {}, { onProgress: updating((line) => this.#toast(3, `🔄 ${line}`), PROGRESS_AFTER_MS, PROGRESS_EVERY_MS) });
    } catch (error) {
      if (error instanceof SidecarError && error.kind === "notConfigured") this.#stop();
      else if (!(error instanceof SidecarError && error.retryable)) this.#trouble(error);
      return undefined;
    }
  }

  /** The last words: what was written since the last cycle goes out, but opencode does not wait for long. */
  async finish(): Promise<void> {
    const last = this.#options.manual === true ? undefined : this.automatic("sync/push");
    this.#stop();
    let late: NodeJS.Timeout | undefined;
    await Promise.race([last, new Promise((resolve) => (late = setTimeout(resolve, FINISH_MS)))]);
    clearTimeout(late);
    await this.#page?.then((page) => page.close()).catch(() => undefined);
    await this.sidecar.dispose().catch(() => undefined);
  }

  /** Show the page with devices, history and the rest in the person's browser. Resolves to whether one could be opened. */
  async openPage(): Promise<boolean> {
    const { openInBrowser } = await import("../notify/open.js");
    this.#page ??= this.#serve();
    const page = this.#page;
    page.catch(() => (this.#page = undefined));
    return openInBrowser((await page).link());
  }

  /** Loaded when somebody asks for it: opencode's start does not pay for it. */
  async #serve(): Promise<PanelServer> {
    const [{ PanelBridge }, { servePanel }] = await Promise.all([import("../bridge.js"), import("../page-server.js")]);
    return servePanel(new PanelBridge(this.sidecar, { onJoined: () => this.resume() }));
  }

  /** The device has just become part of a vault. Returns whether cycles begin by themselves. */
  resume(): boolean {
    this.#stopped = false;
    if (this.#options.manual === true) return false;
    this.#later(FIRST_CYCLE_MS);
    return true;
  }

  #stop(): void {
    this.#stopped = true;
    clearTimeout(this.#soon);
  }

  #later(ms: number): void {
    clearTimeout(this.#soon);
    this.#soon = setTimeout(() => void this.automatic(), ms);
    this.#soon.unref();
  }

  #trouble(error: unknown): void {
    const text = error instanceof Error ? error.message : String(error);
    this.#log("error", text);
    if (error instanceof SidecarNotFoundError) this.#stop();
    if (!(error instanceof SidecarError)) this.#toast(1, text); // what the sidecar could say itself, it has said
  }

  /** opencode lets a plugin show no buttons: it is told where they are. Open until the page or somebody else answers; nothing waits for it. */
  #asked({ kind, message, signal }: Question): Promise<null> {
    const command = COMMANDS[kind];
    const text = `❓ ${message} Answer: /sync-page${command === undefined ? "" : `, or ${command}`}.`;
    this.#log("warn", text);
    this.#toast(2, text, QUESTION_MS);
    return new Promise((resolve) => signal.addEventListener("abort", () => resolve(null), { once: true }));
  }

  #toast(type: number, message: string, duration = TOAST_MS): void {
    if (this.#options.quiet === true) return;
    const now = Date.now();
    if (type <= 2 && now - (this.#shown.get(message) ?? -Infinity) < REPEAT_MS) return;
    this.#shown.set(message, now);
    const variant = type === 1 ? "error" : type === 2 ? "warning" : message.startsWith("✅") ? "success" : "info";
    if (type <= 2) this.#notify(message); // of the rest, a person at another window wants to know only what came in
    for (const client of this.#clients()) void safely(() => client.tui.showToast({ body: { message, variant, duration } }));
  }

  #notify(message: string): void {
    if (!this.#notifies) return;
    this.#notifier ??= import("../notify/index.js").then((loaded) => new loaded.Notifier());
    void this.#notifier.then((notifier) => notifier.show(message), () => undefined);
  }

  #log(level: "info" | "warn" | "error", message: string): void {
    const [client] = this.#clients();
    if (client !== undefined) void safely(() => client.app.log({ body: { service: "opencode-sidecar", level, message } }));
  }

  #applied(sessionIds: readonly string[], refreshable: boolean): void {
    const { length } = sessionIds;
    if (length > 0) this.#notify(`📥 ${length} ${length === 1 ? "session" : "sessions"} changed here by a sync.`);
    if (refreshable) void this.#refresh(sessionIds);
  }

  /** opencode sends no event for rows that somebody else wrote: a rename to the same title makes open windows look again. */
  async #refresh(sessionIds: readonly string[]): Promise<void> {
    const [client] = this.#clients();
    if (client === undefined) return;
    for (const id of sessionIds.slice(0, MAX_REFRESHED)) {
      const found = (await safely(() => client.session.get({ path: { id } })))?.data;
      if (found === undefined) continue;
      await safely(() => client.session.update({ path: { id }, query: { directory: found.directory }, body: { title: found.title } }));
    }
  }

  #clients(): OpencodeClient[] {
    return [...this.#windows.values()].map((input) => input.client);
  }
}

/** Desktop says so in the environment of the process that loads plugins, which is Electron's. */
function isDesktop(): boolean {
  return process.env["OPENCODE_CLIENT"] === "desktop" || process.versions["electron"] !== undefined;
}

async function safely<T>(work: () => Promise<T>): Promise<T | undefined> {
  try {
    return await work();
  } catch {
    return undefined;
  }
}
