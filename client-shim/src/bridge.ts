import { randomUUID } from "node:crypto";
import { SidecarError, SidecarGoneError } from "./errors.js";
import { SidecarNotFoundError } from "./locate.js";
import type { MessageAction } from "./generated/protocol.js";
import { type Answer, PANEL_METHODS, type PanelError, type PanelEvent, type PanelMethod, type PanelQuestion } from "./page/port.js";
import type { Question } from "./questions.js";
import type { Method, Sidecar } from "./sidecar.js";

export interface PanelBridgeOptions {
  /** What the page may ask for; everything that the panel uses by default. */
  methods?: readonly PanelMethod[];
  /** The device has become part of a vault through the page. */
  onJoined?: () => void;
}

/** What the panel says with each method. More would let a script in the page move a vault, or give up a device's identity. */
const PARAMS: Record<PanelMethod, readonly string[]> = {
  "sync/status": [],
  "sync/init": ["remote", "deviceName"],
  "sync/link": ["remote", "deviceName", "key"],
  "sync/run": ["allowDeletions", "deletions"],
  "sync/preview": [],
  "sync/history": ["limit"],
  "sync/restore": ["cycle", "session"],
  "sync/doctor": [],
  "sync/resolve": ["path", "choice"],
  "sidecar/questions": [],
  "sidecar/answer": ["id", "title"],
  "window/workDoneProgress/cancel": ["token"],
};
const CANCEL = "window/workDoneProgress/cancel";

/**
 * The app's end of the panel: takes plain data from a page, checks it, calls the sidecar, gives plain data back. One bridge serves
 * all windows. A page can call the listed methods and nothing else: no shell, no keys.
 */
export class PanelBridge {
  readonly #sidecar: Sidecar;
  readonly #methods: ReadonlySet<string>;
  readonly #onJoined: (() => void) | undefined;
  readonly #listeners = new Set<(event: PanelEvent, params: unknown) => void>();
  readonly #running = new Map<string | number, AbortController>();
  readonly #questions = new Map<string, { question: PanelQuestion; settle: (action: MessageAction | null) => void }>();

  constructor(sidecar: Sidecar, options: PanelBridgeOptions = {}) {
    this.#sidecar = sidecar;
    this.#methods = new Set(options.methods ?? PANEL_METHODS);
    this.#onJoined = options.onJoined;
    sidecar.on("sync/didChangeStatus", (params) => this.#tell("sync/didChangeStatus", params));
    sidecar.on("sync/didApply", (params) => this.#tell("sync/didApply", params));
    if (this.#methods.has("sidecar/answer")) sidecar.onQuestion((question) => this.#ask(question));
    sidecar.onGone((error) => this.#tell("sidecar/gone", { message: error.message }));
  }

  /** Never rejects: an error is an answer. */
  async call(method: unknown, params: unknown): Promise<Answer> {
    try {
      if (typeof method !== "string" || !this.#methods.has(method)) throw new SidecarError(-32601, "A page may not ask for this method.", { kind: "methodNotFound", detail: String(method).slice(0, 100) });
      if (!isObject(params)) throw refused("The params must be an object.");
      const known = [...PARAMS[method as PanelMethod], "workDoneToken"];
      const other = Object.keys(params).find((name) => !known.includes(name));
      if (other !== undefined) throw refused("A page may not say this.", other);
      const result = await this.#call(method as PanelMethod, params);
      if (method === "sync/init" || method === "sync/link") this.#onJoined?.();
      return { result };
    } catch (error) {
      return { error: plain(error) };
    }
  }

  /** What happens, for the page. Returns what ends it. */
  listen(listener: (event: PanelEvent, params: unknown) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  async #call(method: PanelMethod, params: Record<string, unknown>): Promise<unknown> {
    const { workDoneToken: token, ...rest } = params;
    if (method === CANCEL) {
      this.#running.get(params["token"] as string)?.abort();
      return null;
    }
    if (method === "sidecar/questions") return [...this.#questions.values()].map(({ question }) => question);
    if (method === "sidecar/answer") return { answered: this.#answer(rest["id"], rest["title"]) };
    if (token === undefined || token === null) return this.#sidecar.call(method as Method, rest as never);
    if ((typeof token !== "string" && typeof token !== "number") || this.#running.has(token)) throw refused("A workDoneToken is used once.");
    const abort = new AbortController();
    this.#running.set(token, abort);
    try {
      return await this.#sidecar.call(method as Method, rest as never, { signal: abort.signal, onProgress: (value) => this.#tell("$/progress", { token, value }) });
    } finally {
      this.#running.delete(token);
    }
  }

  /** Open until a page answers it, or it settles elsewhere; also for a page that is opened later. */
  #ask({ signal, ...question }: Question): Promise<MessageAction | null> {
    const id = randomUUID();
    return new Promise((resolve) => {
      const settle = (action: MessageAction | null): void => {
        if (!this.#questions.delete(id)) return;
        resolve(action);
        this.#tell("sidecar/didChangeQuestions", {});
      };
      this.#questions.set(id, { question: { ...question, id }, settle });
      signal.addEventListener("abort", () => settle(null), { once: true });
      this.#tell("sidecar/didChangeQuestions", {});
    });
  }

  #answer(id: unknown, title: unknown): boolean {
    const found = this.#questions.get(id as string);
    if (found === undefined) return false;
    const action = found.question.actions.find((one) => one.title === title);
    if (action === undefined) throw refused("That is none of its answers.", typeof title === "string" ? title : "");
    found.settle(action);
    return true;
  }

  #tell(event: PanelEvent, params: unknown): void {
    for (const listener of this.#listeners) listener(event, params);
  }
}

function refused(message: string, detail = ""): SidecarError {
  return new SidecarError(-32602, message, { kind: "invalidParams", detail: detail.slice(0, 100) });
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function plain(error: unknown): PanelError {
  if (error instanceof SidecarError) {
    const { kind, message, detail, remedy, retryable } = error;
    return { kind, message, detail, remedy, retryable };
  }
  if (error instanceof SidecarNotFoundError) return { kind: "notFound", message: "opencode-sidecar is not installed, or cannot be started.", detail: error.tried.join("\n"), remedy: error.remedy };
  if (error instanceof SidecarGoneError) return { kind: "gone", message: error.message, remedy: "Try again; `opencode-sidecar doctor` in a terminal says more.", retryable: true };
  if (error instanceof Error && error.name === "AbortError") return { kind: "cancelled", message: "Cancelled." };
  return { kind: "internal", message: "Something unexpected happened.", detail: error instanceof Error ? error.message : String(error) };
}
