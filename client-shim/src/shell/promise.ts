import { statSync } from "node:fs";
import { resolve as resolvePath } from "node:path";
import type { Script } from "./ast.js";
import { ShellEnvironment } from "./environment.js";
import { errorCode, systemMessage } from "./errors.js";
import { Interpreter } from "./interpreter.js";
import { ShellError, ShellOutput } from "./output.js";
import type { CommandRunner } from "./runner.js";
import { type ByteSource, Collector, Pipe, Tee } from "./streams.js";

export type EnvironmentInput = Record<string, string | undefined>;

/** What all scripts of one `$` share. */
export interface ShellHost {
  readonly runner: CommandRunner;
  readonly stdin: () => ByteSource;
  readonly echoStdout: (chunk: Uint8Array) => void;
  readonly echoStderr: (chunk: Uint8Array) => void;
  readonly positional: readonly string[];
  readonly signal?: AbortSignal | undefined;
}

export interface ShellScript {
  readonly host: ShellHost;
  readonly script: Script;
  readonly cwd: string | undefined;
  readonly env: EnvironmentInput | undefined;
  readonly throws: boolean;
}

/** A script that runs once somebody waits for it. */
export class ShellPromise extends Promise<ShellOutput> {
  /** What `then` gives is a plain promise. */
  static override get [Symbol.species](): PromiseConstructor {
    return Promise;
  }

  readonly #script: ShellScript;
  readonly #resolve: (output: ShellOutput) => void;
  readonly #reject: (error: unknown) => void;
  readonly #error = new ShellError();
  #cwd: string | undefined;
  #env: EnvironmentInput | undefined;
  #throws: boolean;
  #quiet = false;
  #hasRun = false;
  #input: Pipe | undefined;
  #stdin: WritableStream<Uint8Array | string> | undefined;

  constructor(script: ShellScript) {
    let settle: { resolve: (output: ShellOutput) => void; reject: (error: unknown) => void } | undefined;
    super((resolve, reject) => {
      settle = { resolve, reject };
    });
    if (settle === undefined) throw new TypeError("Promise did not call its executor");
    this.#resolve = settle.resolve;
    this.#reject = settle.reject;
    this.#script = script;
    this.#cwd = script.cwd;
    this.#env = script.env;
    this.#throws = script.throws;
  }

  /** The script's standard input. Asking for it takes the place of what it would read otherwise. */
  get stdin(): WritableStream<Uint8Array | string> {
    if (this.#stdin === undefined) {
      this.#throwIfRunning();
      const input = new Pipe();
      this.#input = input;
      this.#stdin = new WritableStream<Uint8Array | string>({
        write: async (chunk) => void (await input.write(typeof chunk === "string" ? Buffer.from(chunk) : chunk)),
        close: () => input.end(),
        abort: () => input.end(),
      });
    }
    return this.#stdin;
  }

  cwd(newCwd?: string): this {
    this.#throwIfRunning();
    this.#cwd = normalizeCwd(newCwd);
    return this;
  }

  env(newEnv?: EnvironmentInput): this {
    this.#throwIfRunning();
    if (newEnv !== undefined && (typeof newEnv !== "object" || newEnv === null)) {
      throw Object.assign(new TypeError("env must be an object"), { code: "ERR_INVALID_ARG_TYPE" });
    }
    this.#env = newEnv;
    return this;
  }

  quiet(isQuiet?: boolean): this {
    this.#throwIfRunning();
    this.#quiet = isQuiet ?? true;
    return this;
  }

  nothrow(): this {
    this.#throws = false;
    return this;
  }

  throws(shouldThrow?: boolean): this {
    this.#throws = Boolean(shouldThrow);
    return this;
  }

  async text(encoding?: BufferEncoding): Promise<string> {
    return (await this.quiet()).stdout.toString(encoding);
  }

  // biome-ignore lint/suspicious/noExplicitAny: as in ShellOutput
  async json(): Promise<any> {
    return JSON.parse((await this.quiet()).stdout.toString());
  }

  async *lines(): AsyncGenerator<string, void, undefined> {
    const text = (await this.quiet()).stdout.toString();
    yield* text.split(process.platform === "win32" ? /\r?\n/ : "\n");
  }

  async arrayBuffer(): Promise<ArrayBuffer> {
    return (await this.quiet()).stdout.buffer;
  }

  async bytes(): Promise<Uint8Array<ArrayBuffer>> {
    return new Uint8Array(await this.arrayBuffer());
  }

  async blob(): Promise<Blob> {
    return new Blob([(await this.quiet()).stdout]);
  }

  run(): this {
    if (!this.#hasRun) {
      this.#hasRun = true;
      void this.#execute();
    }
    return this;
  }

  // biome-ignore lint/suspicious/noThenProperty: this is what makes it lazy
  override then<T = ShellOutput, U = never>(onfulfilled?: ((output: ShellOutput) => T | PromiseLike<T>) | null, onrejected?: ((reason: unknown) => U | PromiseLike<U>) | null): Promise<T | U> {
    this.run();
    return super.then(onfulfilled, onrejected);
  }

  async #execute(): Promise<void> {
    const { host, script } = this.#script;
    try {
      const stdout = new Collector();
      const stderr = new Collector();
      const interpreter = new Interpreter({ runner: host.runner, positional: host.positional, signal: host.signal });
      const exitCode = await interpreter.run(script, this.#environment(), {
        stdin: this.#input ?? host.stdin(),
        stdout: this.#quiet ? stdout : new Tee(stdout, host.echoStdout),
        stderr: this.#quiet ? stderr : new Tee(stderr, host.echoStderr),
      });
      const output = new ShellOutput(stdout.bytes(), stderr.bytes(), exitCode);
      if (exitCode !== 0 && this.#throws) this.#reject(this.#error.initialize(output));
      else this.#resolve(output);
    } catch (error) {
      this.#reject(error);
    } finally {
      this.#input?.cancel();
    }
  }

  #environment(): ShellEnvironment {
    const cwd = resolvePath(this.#cwd ?? ".");
    if (this.#cwd !== undefined) assertDirectory(cwd);
    const exported: [string, string][] = [];
    for (const [name, value] of Object.entries(this.#env ?? process.env)) if (value !== undefined) exported.push([name, String(value)]);
    const environment = new ShellEnvironment(cwd, exported);
    if (this.#cwd !== undefined) environment.exported.set("PWD", cwd);
    return environment;
  }

  #throwIfRunning(): void {
    if (this.#hasRun) throw new Error("Shell is already running");
  }
}

/** `.`, `./` and the empty text are the process's directory. */
export function normalizeCwd(cwd: string | undefined): string | undefined {
  return cwd === "." || cwd === "" || cwd === "./" ? undefined : cwd === undefined ? undefined : String(cwd);
}

function assertDirectory(path: string): void {
  let error: unknown = Object.assign(new Error(), { code: "ENOTDIR" });
  try {
    if (statSync(path).isDirectory()) return;
  } catch (caught) {
    error = caught;
  }
  throw Object.assign(new Error(systemMessage(error)), { code: errorCode(error) });
}
