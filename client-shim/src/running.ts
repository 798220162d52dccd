import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { Connection } from "./connection.js";
import { SidecarError, SidecarGoneError } from "./errors.js";
import { ErrorCodes, type InitializeResult, PROTOCOL_VERSION } from "./generated/protocol.js";
import type { Command } from "./locate.js";
import type { SidecarOptions } from "./sidecar.js";

const STOP_MS = 5000;
const DRAIN_MS = 500;
const START_MS = 30_000;
const STDERR_KEPT = 8192;

/** Raises `SidecarError` of the kind `unsupported` when the program is older or newer than this client, or another program. */
function checkVersion(answer: Partial<InitializeResult> | null): void {
  const version: unknown = answer?.capabilities?.experimental?.opencodeSidecar?.protocolVersion;
  if (version === PROTOCOL_VERSION) return;
  const speaks = version === undefined ? "no protocol that is known here" : `protocol ${String(version)}`;
  const remedy = "Update the older of the two; OPENCODE_SIDECAR_COMMAND may name another program than you mean.";
  throw new SidecarError(ErrorCodes.unsupported, `The sidecar speaks ${speaks}, this client protocol ${PROTOCOL_VERSION}.`, { kind: "unsupported", remedy });
}

type RunningOptions = SidecarOptions & { command: Command; asks: boolean };

function isClosed(reason: NodeJS.ErrnoException): boolean {
  return reason.code === "EPIPE" || reason.code === "ECONNRESET" || reason.code === "ERR_STREAM_DESTROYED";
}

/** One process, from its start to its end. */
export class Running {
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
        capabilities: { experimental: { opencodeSidecar: { binaryOutput: true } }, ...(options.asks ? { window: { showMessage: {} } } : {}) },
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
