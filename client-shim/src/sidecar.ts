import { makeApi } from "./api.js";
import type { CallOptions, Connection } from "./connection.js";
import { SidecarGoneError } from "./errors.js";
import type { OutputHandler } from "./frames.js";
import { type Api, IDEMPOTENT, type InitializationOptions, type InitializeResult, type Notifications, type Requests } from "./generated/protocol.js";
import { type Command, locate } from "./locate.js";
import { type QuestionHandler, Questions } from "./questions.js";
import { RestartPolicy } from "./restart.js";
import type { Running } from "./running.js";

export interface SidecarOptions {
  /** The program and its arguments, e.g. `["opencode-sidecar"]`; `serve --stdio` is added. Looked for when not given, see `locate`. */
  command?: Command;
  /** The environment of the sidecar; this process's by default. */
  env?: NodeJS.ProcessEnv;
  cwd?: string;
  /** How long the process may take to answer `initialize`; 30 s by default. */
  startTimeoutMs?: number;
  clientInfo?: { name: string; version?: string };
  /** Other folders than the environment says. */
  roots?: Omit<InitializationOptions, "protocolVersion">;
  /**
   * Puts to a person what only a person can know: whether so many sessions were deleted on purpose, which of two machines with one
   * identity this is. The sidecar carries the answer out. Without it, and without a panel, nothing is asked: `sync/status` lists the same.
   */
  onQuestion?: QuestionHandler;
  /** Called each time the process ended without being asked to. The next call starts it again, up to the limit of a crash loop. */
  onCrash?: (error: SidecarGoneError) => void;
}

/** Methods that a host calls; the lifecycle is ours. */
export type Method = Exclude<keyof Requests, "initialize" | "shutdown">;

/** One sidecar process. It starts with the first call, and again with the next call after a crash. */
export class Sidecar implements AsyncDisposable {
  /** Every method as a function: `api.sync.run({}, { onProgress })`. */
  readonly api: Api<CallOptions> = makeApi((method, params, options) => this.call(method, params, options));
  readonly #options: SidecarOptions;
  readonly #restart = new RestartPolicy();
  readonly #handlers: Array<(connection: Connection) => void> = [];
  readonly #questions = new Questions();
  readonly #gone = new Set<(error: SidecarGoneError) => void>();
  #running: Promise<Running> | undefined;
  #disposed = false;

  constructor(options: SidecarOptions = {}) {
    this.#options = options;
    if (options.onQuestion !== undefined) this.onQuestion(options.onQuestion);
    this.#handlers.push((connection) => connection.onQuestion((params, withdrawn) => this.#questions.ask(params, withdrawn)));
  }

  /** Start the process, once; resolves to what it said of itself. */
  async start(): Promise<InitializeResult> {
    return (await this.#ready()).initialized;
  }

  /**
   * Call a method. Rejects with `SidecarError`, `SidecarGoneError`, `SidecarNotFoundError` or, when aborted, an `AbortError`.
   * A read that a crash took down is asked once more; a call that may have changed something never is.
   */
  async call<M extends Method>(method: M, params: Requests[M]["params"] = {} as Requests[M]["params"], options: CallOptions = {}): Promise<Requests[M]["result"]> {
    const once = async (): Promise<Requests[M]["result"]> => (await this.#ready()).connection.call(method, params, options);
    try {
      return await once();
    } catch (error) {
      if (!(error instanceof SidecarGoneError) || !IDEMPOTENT.has(method) || this.#disposed || options.signal?.aborted === true) throw error;
      return once();
    }
  }

  /** Listen to a notification, now or from the start on. */
  on<M extends Exclude<keyof Notifications, "$/progress">>(method: M, handler: (params: Notifications[M]["params"]) => void): void {
    const register = (connection: Connection): void => void connection.on(method, handler);
    this.#handlers.push(register);
    void this.#running?.then(({ connection }) => register(connection), () => undefined);
  }

  /** Output of commands that `shell/start` started: the bytes, in pieces as they come. Cheaper than the notification `shell/didOutput`. */
  onOutput(handler: OutputHandler): void {
    const register = (connection: Connection): void => connection.onOutput(handler);
    this.#handlers.push(register);
    void this.#running?.then(({ connection }) => register(connection), () => undefined);
  }

  /**
   * One more that questions are put to, those that are open included; the first answer counts. A sidecar that was started
   * while there was none asks from its next start on. Returns what ends it.
   */
  onQuestion(handler: QuestionHandler): () => void {
    return this.#questions.add(handler);
  }

  /** Be told when the process ended without being asked to. Returns what ends that. */
  onGone(handler: (error: SidecarGoneError) => void): () => void {
    this.#gone.add(handler);
    return () => void this.#gone.delete(handler);
  }

  /** Shut down: what runs is cancelled, the process ends and takes its children along. */
  async dispose(): Promise<void> {
    this.#disposed = true;
    const running = this.#running;
    if (running === undefined) return;
    const started = await running.catch(() => undefined);
    await started?.stop();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.dispose();
  }

  #ready(): Promise<Running> {
    if (this.#disposed) return Promise.reject(new SidecarGoneError("The sidecar was disposed.", null, null, ""));
    if (this.#running === undefined) {
      const refusal = this.#restart.refusal();
      if (refusal !== undefined) return Promise.reject(refusal);
      const running = this.#begin();
      this.#running = running;
      running.catch(() => this.#forget(running));
    }
    return this.#running;
  }

  async #begin(): Promise<Running> {
    const wait = this.#restart.delay();
    if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait));
    const command = this.#options.command ?? (await locate(this.#options.env));
    if (this.#disposed) throw new SidecarGoneError("The sidecar was disposed.", null, null, "");
    const onCrash = (error: SidecarGoneError): void => {
      this.#restart.crashed(error);
      this.#running = undefined;
      for (const handler of this.#gone) handler(error);
      this.#options.onCrash?.(error);
    };
    const { Running } = await import("./running.js"); // with the transport: who only makes a client does not wait for it
    return Running.start({ ...this.#options, command, onCrash, asks: this.#questions.wanted }, this.#handlers);
  }

  /** The next call starts anew. */
  #forget(running: Promise<Running>): void {
    if (this.#running === running) this.#running = undefined;
  }
}
