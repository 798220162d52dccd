import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { makeApi } from "./api.js";
import { type CallOptions, Connection } from "./connection.js";
import { SidecarError, SidecarGoneError } from "./errors.js";
import type { OutputHandler } from "./frames.js";
import { type Api, ErrorCodes, IDEMPOTENT, type InitializationOptions, type InitializeResult, type Notifications, PROTOCOL_VERSION, type Requests } from "./generated/protocol.js";
import { type Command, locate } from "./locate.js";
import { RestartPolicy } from "./restart.js";

const STOP_MS = 5000;
const DRAIN_MS = 500;
const START_MS = 30_000;
const STDERR_KEPT = 8192;

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
  readonly #gone = new Set<(error: SidecarGoneError) => void>();
  #running: Promise<Running> | undefined;
  #disposed = false;

  constructor(options: SidecarOptions = {}) {
    this.#options = options;
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
    return Running.start({ ...this.#options, command, onCrash }, this.#handlers);
  }

  /** The next call starts anew. */
  #forget(running: Promise<Running>): void {
    if (this.#running === running) this.#running = undefined;
  }
}

/** Raises `SidecarError` of the kind `unsupported` when the program is older or newer than this client, or another program. */
function checkVersion(answer: Partial<InitializeResult> | null): void {
  const version: unknown = answer?.capabilities?.experimental?.opencodeSidecar?.protocolVersion;
  if (version === PROTOCOL_VERSION) return;
  const speaks = version === undefined ? "no protocol that is known here" : `protocol ${String(version)}`;
  const remedy = "Update the older of the two; OPENCODE_SIDECAR_COMMAND may name another program than you mean.";
  throw new SidecarError(ErrorCodes.unsupported, `The sidecar speaks ${speaks}, this client protocol ${PROTOCOL_VERSION}.`, { kind: "unsupported", remedy });
}

function isClosed(reason: NodeJS.ErrnoException): boolean {
  return reason.code === "EPIPE" || reason.code === "ECONNRESET" || reason.code === "ERR_STREAM_DESTROYED";
}

type RunningOptions = SidecarOptions & { command: Command };

class Running {
  readonly connection: Connection;
  initialized!: InitializeResult;
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #ended: Promise<void>;
  readonly #options: RunningOptions;
  #stderr = "";
  #stopping = false;
  #isOver = false;

  private constructor(options: RunningOptions) {
    this.#options = options;
    const [program, ...rest] = options.command;
    this.#child = spawn(program, [...rest, "serve", "--stdio"], {
      stdio: "pipe",
      windowsHide: true,
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
      env: options.env ?? process.env,
    });
    this.#child.stdin.on("error", () => undefined); // EPIPE after a crash; the end of the process tells
    this.#child.stderr.setEncoding("utf8").on("data", (text: string) => {
      this.#stderr = (this.#stderr + text).slice(-STDERR_KEPT); // always drained, else the sidecar blocks
    });
    this.connection = new Connection(this.#child.stdout, this.#child.stdin, {
      // What cannot be written any more was for a process that is ending: its end, told below, comes with the status that says why.
      onError: (reason) => (isClosed(reason) ? void setTimeout(() => this.#broken(reason), DRAIN_MS).unref() : this.#broken(reason)),
      // Its end is told by the process, which knows the status and may take a while to end; one that goes on without a stdout is as good as dead.
      onEnd: () => void setTimeout(() => this.#broken(new Error("the stream was closed")), STOP_MS).unref(),
    });
    this.#ended = new Promise((resolve) => {
      const end = (code: number | null, signal: string | null): void => {
        this.#over(`The sidecar ended (${signal ?? `status ${code}`}).`, code, signal);
        resolve();
      };
      this.#child.once("error", (error) => {
        this.#over(`The sidecar cannot be started: ${error.message}`, null, null);
        resolve();
      });
      this.#child.once("close", end);
      // "close" waits for the pipes, which a process that we do not know of may hold open.
      this.#child.once("exit", (code, signal) => void setTimeout(() => end(code, signal), DRAIN_MS).unref());
    });
  }

  static async start(options: RunningOptions, handlers: ReadonlyArray<(connection: Connection) => void>): Promise<Running> {
    const running = new Running(options);
    for (const register of handlers) register(running.connection);
    const { clientInfo, roots, startTimeoutMs = START_MS } = options;
    const late = setTimeout(() => running.#broken(new Error(`no answer to initialize within ${startTimeoutMs} ms`)), startTimeoutMs);
    try {
      running.initialized = await running.connection.call("initialize", {
        processId: process.pid,
        capabilities: { experimental: { opencodeSidecar: { binaryOutput: true } } },
        initializationOptions: { ...roots, protocolVersion: PROTOCOL_VERSION },
        ...(clientInfo === undefined ? {} : { clientInfo }),
      });
      checkVersion(running.initialized);
      await running.connection.notify("initialized");
      return running;
    } catch (error) {
      await running.stop();
      throw error;
    } finally {
      clearTimeout(late);
    }
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    const force = setTimeout(() => this.#child.kill("SIGKILL"), STOP_MS);
    try {
      if (this.#child.pid !== undefined && this.#child.exitCode === null && this.#child.signalCode === null) {
        await this.connection.call("shutdown", {}).catch(() => undefined);
        await this.connection.notify("exit").catch(() => undefined);
        this.#child.stdin.end();
      }
      await this.#ended;
    } finally {
      clearTimeout(force);
    }
  }

  /** The stream cannot be understood any more: no answer will come, so the process must go. */
  #broken(reason: Error): void {
    if (this.#stopping) return;
    const { exitCode, signalCode } = this.#child;
    this.#over(`The connection to the sidecar is lost: ${reason.message}`, exitCode, signalCode);
    this.#child.kill();
    setTimeout(() => this.#child.kill("SIGKILL"), STOP_MS).unref();
  }

  #over(message: string, code: number | null, signal: string | null): void {
    if (this.#isOver) return;
    this.#isOver = true;
    const error = new SidecarGoneError(message, code, signal, this.#stderr);
    this.connection.close(error);
    if (!this.#stopping) this.#options.onCrash?.(error);
    this.#stopping = true;
  }
}
