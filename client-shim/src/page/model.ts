import type { ConfigConflict, CycleResult, DoctorResult, HistoryResult, InitResult, PreviewResult, RestoreResult, StatusResult } from "../generated/protocol.js";
import type { Answer, PanelError, PanelEvent, PanelHost, PanelMethod, PanelParams, PanelQuestion } from "./port.js";
import { count, moved, PHASES } from "./text.js";

export interface Notice {
  tone: "good" | "warn" | "bad";
  title: string;
  text?: string | undefined;
  remedy?: string | undefined;
  retry?: (() => void) | undefined;
}

/** Something that this panel has asked for and that runs. */
export interface Operation {
  token: string;
  title: string;
  phase: string;
  done: number;
  total: number | null;
  cancelling: boolean;
}

type Running = Exclude<PanelMethod, "window/workDoneProgress/cancel" | "sidecar/questions" | "sidecar/answer">;

const TITLES: Record<Running, string> = {
  "sync/status": "Looking",
  "sync/init": "Making the vault",
  "sync/link": "Joining the vault",
  "sync/run": "Syncing",
  "sync/preview": "Looking at what the next sync would do",
  "sync/history": "Reading the history",
  "sync/restore": "Undoing",
  "sync/doctor": "Examining this machine",
  "sync/resolve": "Settling",
};
/** Asking once more does no harm. */
const REPEATABLE: ReadonlySet<Running> = new Set(["sync/run", "sync/preview", "sync/doctor", "sync/status", "sync/history"]);
const HISTORY = 50;
const SETTLE_MS = 60;

/** What is known, and what can be done. It draws nothing. */
export class Model {
  status: StatusResult | undefined;
  history: HistoryResult | undefined;
  preview: PreviewResult | undefined;
  doctor: DoctorResult | undefined;
  conflicts: ConfigConflict[] = [];
  questions: PanelQuestion[] = [];
  /** Ids of questions that the person has put off; they stay with what waits. */
  readonly later = new Set<string>();
  operation: Operation | undefined;
  notice: Notice | undefined;
  /** A sync that somebody else asked for: the app's timer, another window, the command line. */
  elsewhere = false;
  /** Shown until the person says that it is written down; kept nowhere else. */
  recoveryKey: string | undefined;
  readonly #host: PanelHost;
  readonly #changed: () => void;
  readonly #ends: Array<(() => void) | void>;
  readonly #id = [...crypto.getRandomValues(new Uint8Array(8))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  #calls = 0;
  #recovering = false;
  #soon: ReturnType<typeof setTimeout> | undefined;
  #refreshes = 0;
  #listens = 0;

  constructor(host: PanelHost, changed: () => void) {
    this.#host = host;
    this.#changed = changed;
    const on = (event: PanelEvent, listener: (params: never) => void): (() => void) | void => host.on(event, listener as (params: unknown) => void);
    this.#ends = [
      on("$/progress", (params: { token: string; value: Record<string, unknown> }) => this.#progress(params)),
      on("sync/didChangeStatus", (params: { state: string; message: string }) => this.#statusChanged(params)),
      on("sync/didApply", () => this.#refreshSoon()),
      on("sidecar/didChangeQuestions", () => void this.#listen()),
      on("sidecar/gone", () => void this.#recover(undefined)),
    ];
  }

  stop(): void {
    clearTimeout(this.#soon);
    for (const end of this.#ends) end?.();
  }

  /** Ask for what is shown. Resolves to whether the sidecar answered. */
  async refresh(): Promise<boolean> {
    const turn = ++this.#refreshes;
    void this.#listen();
    const status = await this.#ask("sync/status", {});
    if ("error" in status) {
      if (turn === this.#refreshes) this.#tell(failure(status.error, () => void this.refresh()));
      return false;
    }
    const history = status.result.configured ? await this.#ask("sync/history", { limit: HISTORY }) : undefined;
    const settling = status.result.attention.some((entry) => entry.reason === "conflict") ? await this.#ask("sync/resolve", {}) : undefined;
    if (turn !== this.#refreshes) return true; // a later question has, or will have, a newer answer
    this.status = status.result;
    this.elsewhere = status.result.running && this.operation === undefined;
    if (history !== undefined && "result" in history) this.history = history.result;
    this.conflicts = settling !== undefined && "result" in settling ? settling.result.conflicts : [];
    this.#changed();
    return true;
  }

  /** `deletions`: the answer to the question about what vanished here. */
  async sync(deletions?: "publish" | "restore"): Promise<void> {
    const result = await this.#run("sync/run", deletions === undefined ? {} : { deletions }, () => void this.sync(deletions));
    if (result === undefined) return;
    this.preview = undefined;
    await this.#done(cycleNotice(result));
  }

  async look(): Promise<void> {
    const result = await this.#run("sync/preview", {}, () => void this.look());
    if (result !== undefined) this.preview = result;
    this.#changed();
  }

  async examine(): Promise<void> {
    const result = await this.#run("sync/doctor", {}, () => void this.examine());
    if (result !== undefined) this.doctor = result;
    this.#changed();
  }

  async restore(cycle: string, session?: string): Promise<void> {
    const result = await this.#run("sync/restore", session === undefined ? { cycle } : { cycle, session });
    if (result === undefined) return;
    this.preview = undefined;
    await this.#done(restoreNotice(result));
  }

  async resolve(id: string, choice: "mine" | "theirs"): Promise<void> {
    const result = await this.#run("sync/resolve", { path: id, choice });
    if (result !== undefined) await this.#done({ tone: "good", title: "Settled", text: "The next sync takes this to your other machines." });
  }

  async init(remote: string, deviceName: string): Promise<void> {
    const made: InitResult | undefined = await this.#run("sync/init", { remote, ...(deviceName === "" ? {} : { deviceName }) });
    if (made === undefined) return;
    this.recoveryKey = made.recoveryKey ?? undefined;
    await this.#done({ tone: "good", title: "The vault is made", text: "Sync now publishes this machine's sessions." });
  }

  async link(remote: string, deviceName: string, key: string): Promise<void> {
    const made = await this.#run("sync/link", { remote, ...(deviceName === "" ? {} : { deviceName }), ...(key === "" ? {} : { key }) });
    if (made === undefined) return;
    const coming = made.preview.applied.sessions;
    await this.#done({ tone: "good", title: "This machine has joined the vault", text: `Nothing is changed yet. The first sync brings ${count(coming, "session")} in.` });
  }

  /** The sidecar carries it out by itself, and tells as it does of any sync. */
  async answer(question: PanelQuestion, title: string): Promise<void> {
    const answer = await this.#ask("sidecar/answer", { id: question.id, title });
    if ("error" in answer) this.#tell(failure(answer.error, undefined));
    else if (!answer.result.answered) this.#tell({ tone: "warn", title: "That question has settled meanwhile", text: "Nothing was done." });
    await this.#listen();
  }

  putOff(question: PanelQuestion): void {
    this.later.add(question.id);
    this.#changed();
  }

  async cancel(): Promise<void> {
    const operation = this.operation;
    if (operation === undefined || operation.cancelling) return;
    operation.cancelling = true;
    this.#changed();
    await this.#ask("window/workDoneProgress/cancel", { token: operation.token });
  }

  dismiss(): void {
    this.notice = undefined;
    this.#changed();
  }

  keyIsStored(): void {
    this.recoveryKey = undefined;
    this.#changed();
  }

  /** One call with progress. Resolves to undefined when it failed, which has then been said. */
  async #run<M extends Running>(method: M, params: object, again?: () => void): Promise<PanelParams[M]["result"] | undefined> {
    if (this.operation !== undefined) return undefined;
    const operation: Operation = { token: `${this.#id}-${++this.#calls}`, title: TITLES[method], phase: "", done: 0, total: null, cancelling: false };
    this.operation = operation;
    this.notice = undefined;
    this.#changed();
    const answer = await this.#ask(method, { ...params, workDoneToken: operation.token });
    this.operation = undefined;
    this.#changed();
    if ("result" in answer) return answer.result;
    const retry = REPEATABLE.has(method) || answer.error.retryable === true ? again : undefined;
    if (answer.error.kind === "gone") void this.#recover(retry);
    else {
      this.#tell(failure(answer.error, retry));
      this.#refreshSoon();
    }
    return undefined;
  }

  async #ask<M extends PanelMethod>(method: M, params: object): Promise<{ result: PanelParams[M]["result"] } | { error: PanelError }> {
    try {
      const answer: Answer = await this.#host.call(method, params);
      return answer as { result: PanelParams[M]["result"] } | { error: PanelError };
    } catch (error) {
      return { error: { kind: "bridge", message: "This app does not answer.", detail: error instanceof Error ? error.message : String(error), remedy: "Try again; if that does not help, restart the app." } };
    }
  }

  /** The process ended. Asking it something starts it again, in the host. */
  async #recover(again: (() => void) | undefined): Promise<void> {
    if (this.#recovering) {
      this.#interrupted ||= again;
      return;
    }
    this.#recovering = true;
    this.#interrupted = again;
    this.#tell({ tone: "warn", title: "The sidecar ended unexpectedly", text: "It is being started again." });
    const back = await this.refresh();
    this.#recovering = false;
    if (!back) return;
    const retry = this.#interrupted;
    this.#tell({ tone: "good", title: "The sidecar runs again", text: retry === undefined ? "Nothing was lost." : "What was running was interrupted; nothing was left half-done.", retry });
  }

  #interrupted: (() => void) | undefined;

  /** An app whose end of the panel is its own may know of no questions. */
  async #listen(): Promise<void> {
    const turn = ++this.#listens;
    const open = await this.#ask("sidecar/questions", {});
    if (turn !== this.#listens) return;
    this.questions = "result" in open ? open.result : [];
    this.#changed();
  }

  #progress({ token, value }: { token: string; value: Record<string, unknown> }): void {
    const operation = this.operation;
    if (operation === undefined || operation.token !== token || value["kind"] !== "report") return;
    operation.phase = PHASES[String(value["phase"])] ?? String(value["message"] ?? "");
    operation.done = Number(value["done"] ?? 0);
    operation.total = typeof value["total"] === "number" ? value["total"] : null;
    this.#changed();
  }

  #statusChanged({ state, message }: { state: string; message: string }): void {
    this.elsewhere = state === "running" && this.operation === undefined;
    if (state === "failed" && this.operation === undefined && !this.#recovering) this.notice ??= { tone: "bad", title: message.replace(/^❌\s*/, "") };
    this.#changed();
    if (state !== "running") this.#refreshSoon();
  }

  #refreshSoon(): void {
    clearTimeout(this.#soon);
    this.#soon = setTimeout(() => void this.refresh(), SETTLE_MS);
  }

  /** What is said of it comes with what it did. */
  async #done(notice: Notice): Promise<void> {
    if (await this.refresh()) this.#tell(notice);
  }

  #tell(notice: Notice): void {
    this.notice = notice;
    this.#changed();
  }
}

function failure(error: PanelError, retry: (() => void) | undefined): Notice {
  if (error.kind === "cancelled") return { tone: "good", title: "Cancelled", text: "Nothing was left half-done." };
  return { tone: "bad", title: error.message, text: error.detail, remedy: error.remedy, retry };
}

function cycleNotice(result: CycleResult): Notice {
  const tone = result.guarded + result.quarantined > 0 || result.warnings.length > 0 ? "warn" : "good";
  const { in: came = 0, out: went = 0 } = result.config;
  const files = [came > 0 ? `${count(came, "file")} of the configuration in` : "", went > 0 ? `${count(went, "file")} out` : ""].filter(Boolean).join(", ");
  const sessions = result.applied.sessions + result.published.sessions > 0 || files === "" ? moved(result.applied, result.published) : "";
  return { tone, title: result.upToDate ? "Up to date" : `Synced: ${[sessions, files].filter(Boolean).join("; ")}`, text: [...result.notices, ...result.warnings].join("\n") || undefined };
}

function restoreNotice(result: RestoreResult): Notice {
  const rows = result.restored.inserted + result.restored.updated + result.restored.deleted;
  const skipped = result.skipped.map((entry) => `${entry.title || entry.sessionId}: ${entry.detail}`).slice(0, 5);
  const files = result.files.length;
  const done = [rows > 0 ? `${count(rows, "row")} in ${count(result.restored.sessions, "session")}` : "", files > 0 ? count(files, "file") : ""].filter(Boolean).join(", ");
  const text = [done !== "" ? "The next sync takes this to your other machines." : "", ...skipped].filter(Boolean).join("\n");
  const title = done !== "" ? `Undone: ${done} as before` : "There was nothing to put back";
  return { tone: skipped.length > 0 || done === "" ? "warn" : "good", title, text: text || undefined };
}
