import { randomUUID } from "node:crypto";
import { SidecarError } from "./errors.js";
import type { Sidecar } from "./sidecar.js";
import { type CreateShellOptions, createShell as createShellWith, type RootShell } from "./shell/index.js";
import type { CommandRunner, RunningCommand, SpawnCommand } from "./shell/runner.js";

/** How much of an input goes out in one message. */
const WRITE_BYTES = 256 * 1024;
/** How much output may be on its way; half of it is acknowledged at once. */
const WINDOW_BYTES = 4 * 1024 * 1024;

/** A `$` like Bun's for hosts that have none, such as Electron: the language is interpreted here, commands run in the sidecar. */
export function createShell(sidecar: Sidecar, options: CreateShellOptions = {}): RootShell {
  return createShellWith(sidecarRunner(sidecar), options);
}

/** Runs commands through `shell/*`. */
export function sidecarRunner(sidecar: Sidecar): CommandRunner {
  const running = new Map<string, Remote>();
  sidecar.onOutput(({ processId, stream }, chunk) => running.get(processId)?.output(stream, chunk));
  sidecar.on("shell/didExit", ({ processId, exitCode, signal }) => {
    running.get(processId)?.end(exitCode, signal);
    running.delete(processId);
  });
  sidecar.onGone((error) => {
    for (const remote of running.values()) remote.fail(error);
    running.clear();
  });
  return {
    spawn(command) {
      const id = randomUUID();
      const remote = new Remote(sidecar, id, command);
      running.set(id, remote);
      remote.exited.catch(() => running.delete(id));
      return remote;
    },
    which: async (name, env, cwd) => (await sidecar.call("shell/which", { name, env, cwd })).path,
  };
}

class Remote implements RunningCommand {
  readonly stdout: Queue;
  readonly stderr: Queue;
  readonly exited: Promise<{ exitCode: number | null; signal: string | null }>;
  readonly #sidecar: Sidecar;
  readonly #id: string;
  readonly #started: Promise<unknown>;
  #settle!: (value: { exitCode: number | null; signal: string | null }) => void;
  #reject!: (error: unknown) => void;
  #over = false;

  constructor(sidecar: Sidecar, id: string, { argv, cwd, env, stdin, signal }: SpawnCommand) {
    this.#sidecar = sidecar;
    this.#id = id;
    let unacknowledged = 0;
    const consumed = (bytes: number): void => {
      unacknowledged += bytes;
      if (unacknowledged < WINDOW_BYTES / 2) return;
      void this.#quietly(sidecar.call("shell/ack", { processId: id, bytes: unacknowledged }));
      unacknowledged = 0;
    };
    this.stdout = new Queue(consumed);
    this.stderr = new Queue(consumed);
    this.exited = new Promise((resolve, reject) => {
      this.#settle = resolve;
      this.#reject = reject;
    });
    this.#started = sidecar.call("shell/start", { processId: id, argv, cwd, env, stdin: stdin !== null, windowBytes: WINDOW_BYTES });
    this.#started.catch((error: unknown) => this.fail(asSystemError(error)));
    const abort = (): void => this.kill();
    if (signal?.aborted === true) abort();
    signal?.addEventListener("abort", abort, { once: true });
    void this.#quietly(this.exited.finally(() => signal?.removeEventListener("abort", abort)));
    if (stdin !== null) void this.#feed(stdin);
  }

  kill(signal = "SIGTERM"): void {
    void this.#quietly(this.#started.then(() => this.#sidecar.call("shell/kill", { processId: this.#id, signal })));
  }

  output(stream: string, data: Uint8Array): void {
    (stream === "stderr" ? this.stderr : this.stdout).push(data);
  }

  end(exitCode: number | null, signal: string | null): void {
    this.#finish();
    this.#settle({ exitCode, signal });
  }

  fail(error: unknown): void {
    this.#finish();
    this.#reject(error);
  }

  #finish(): void {
    this.#over = true;
    this.stdout.close();
    this.stderr.close();
  }

  /** A command that does not read all of its input is no error. */
  async #feed(input: AsyncIterable<Uint8Array>): Promise<void> {
    const processId = this.#id;
    try {
      await this.#started;
      for await (const chunk of input) {
        for (let at = 0; at < chunk.length && !this.#over; at += WRITE_BYTES) {
          const data = Buffer.from(chunk.subarray(at, at + WRITE_BYTES)).toString("base64");
          await this.#sidecar.call("shell/write", { processId, data });
        }
        if (this.#over) return;
      }
    } catch {
      // it ended, or its input could not be read: either way there is no more to write
    }
    if (!this.#over) await this.#quietly(this.#sidecar.call("shell/closeStdin", { processId }));
  }

  async #quietly(work: Promise<unknown>): Promise<void> {
    await work.catch(() => undefined);
  }
}

/** In the system's words, as Bun says it. */
function asSystemError(error: unknown): unknown {
  if (!(error instanceof SidecarError) || error.kind !== "argumentsTooLong") return error;
  return Object.assign(new Error(error.message), { code: "E2BIG" });
}

/** Output that has come and was not asked for yet; what is taken is acknowledged, so that more may come. */
class Queue implements AsyncIterable<Uint8Array> {
  readonly #consumed: (bytes: number) => void;
  readonly #chunks: Uint8Array[] = [];
  #wake: (() => void) | undefined;
  #closed = false;

  constructor(consumed: (bytes: number) => void) {
    this.#consumed = consumed;
  }

  push(chunk: Uint8Array): void {
    this.#chunks.push(chunk);
    this.#wake?.();
  }

  close(): void {
    this.#closed = true;
    this.#wake?.();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array> {
    for (;;) {
      const chunk = this.#chunks.shift();
      if (chunk !== undefined) {
        if (!this.#closed) this.#consumed(chunk.length);
        yield chunk;
      } else if (this.#closed) return;
      else await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }
}
