import { append } from "./append.js";
import { type FileHandle, open, stat } from "node:fs/promises";
import { constants } from "node:os";
import { resolve } from "node:path";
import type { Assignment, Binary, Command, Conditional, Expression, If, Pipeline, Redirect, Script, Statement } from "./ast.js";
import { builtinFor } from "./builtins/index.js";
import { ShellEnvironment } from "./environment.js";
import { CommandFailure, isRunnerGone, systemMessage } from "./errors.js";
import { type Expander, expandWord } from "./expand.js";
import type { RedirectObject } from "./lexer.js";
import type { CommandRunner, RunningCommand } from "./runner.js";
import { type ByteSink, type ByteSource, Collector, encode, FileSink, MemorySink, Pipe, sourceOf } from "./streams.js";

export interface StandardStreams {
  readonly stdin: ByteSource;
  readonly stdout: ByteSink;
  readonly stderr: ByteSink;
}

export interface InterpreterOptions {
  readonly runner: CommandRunner;
  readonly positional: readonly string[];
  readonly signal?: AbortSignal | undefined;
}

/** Runs one script. */
export class Interpreter {
  readonly #options: InterpreterOptions;

  constructor(options: InterpreterOptions) {
    this.#options = options;
  }

  async run(script: Script, environment: ShellEnvironment, streams: StandardStreams): Promise<number> {
    return this.#statements(script.statements, environment, streams);
  }

  async #statements(statements: readonly Statement[], environment: ShellEnvironment, streams: StandardStreams): Promise<number> {
    let exitCode = 0;
    for (const statement of statements) {
      for (const expression of statement) exitCode = await this.#expression(expression, environment, streams);
    }
    return exitCode;
  }

  async #expression(expression: Expression, environment: ShellEnvironment, streams: StandardStreams): Promise<number> {
    try {
      switch (expression.type) {
        case "command":
          return await this.#command(expression, environment, streams);
        case "assignments":
          await this.#assign(expression.assignments, environment.local, environment, streams);
          return 0;
        case "binary":
          return await this.#binary(expression, environment, streams);
        case "pipeline":
          return await this.#pipeline(expression, environment, streams);
        case "subshell":
          return await this.#statements(expression.script.statements, environment.copy(), streams);
        case "if":
          return await this.#if(expression, environment, streams);
        case "conditional":
          return await this.#conditional(expression, environment, streams);
      }
    } catch (error) {
      if (!(error instanceof CommandFailure)) throw error;
      // To the shell's own stderr: the command that would have redirected it did not start.
      await streams.stderr.write(encode(`bun: ${error.message}`));
      return error.exitCode;
    }
  }

  async #binary({ operator, left, right }: Binary, environment: ShellEnvironment, streams: StandardStreams): Promise<number> {
    const exitCode = await this.#expression(left, environment, streams);
    return (exitCode === 0) === (operator === "&&") ? this.#expression(right, environment, streams) : exitCode;
  }

  async #if({ branches, otherwise }: If, environment: ShellEnvironment, streams: StandardStreams): Promise<number> {
    for (const { condition, body } of branches) {
      if ((await this.#statements(condition, environment, streams)) === 0) return this.#statements(body, environment, streams);
    }
    return otherwise === null ? 0 : this.#statements(otherwise, environment, streams);
  }

  async #pipeline({ items }: Pipeline, environment: ShellEnvironment, streams: StandardStreams): Promise<number> {
    const pipes = items.slice(1).map(() => new Pipe());
    const codes = await Promise.all(
      items.map(async (item, index) => {
        const input = pipes[index - 1];
        const output = pipes[index];
        try {
          return await this.#expression(item, environment.copy(), { stdin: input ?? streams.stdin, stdout: output ?? streams.stdout, stderr: streams.stderr });
        } finally {
          output?.end();
          input?.cancel();
        }
      }),
    );
    return codes.at(-1) ?? 0;
  }

  async #conditional({ operator, operands }: Conditional, environment: ShellEnvironment, streams: StandardStreams): Promise<number> {
    const values: string[] = [];
    for (const operand of operands) values.push((await this.#expand(operand, environment, streams)).words[0] ?? "");
    const [first = "", second] = values;
    switch (operator) {
      case "-z":
        return first === "" ? 0 : 1;
      case "-n":
        return first === "" ? 1 : 0;
      case "==":
        return first === second ? 0 : 1;
      case "!=":
        return first !== second ? 0 : 1;
      default: {
        if (first === "") return 1;
        const status = await stat(resolve(environment.cwd, first)).catch(() => null);
        if (status === null) return 1;
        const matches = operator === "-f" ? status.isFile() : operator === "-d" ? status.isDirectory() : status.isCharacterDevice();
        return matches ? 0 : 1;
      }
    }
  }

  async #assign(assignments: readonly Assignment[], target: Map<string, string>, environment: ShellEnvironment, streams: StandardStreams): Promise<void> {
    for (const { name, value } of assignments) {
      const { words } = await expandWord(value, this.#expander(environment, streams), { keepUnmatchedGlob: true });
      target.set(name, words.join(" "));
    }
  }

  async #command(command: Command, environment: ShellEnvironment, streams: StandardStreams): Promise<number> {
    const assigned = new Map<string, string>();
    await this.#assign(command.assignments, assigned, environment, streams);
    const redirect = command.redirect;
    const file = redirect?.target?.type === "word" ? (await this.#expand(redirect.target.word, environment, streams)).words : null;
    const argv: string[] = [];
    let substitutionCode = 0;
    for (const word of command.words) {
      const { words, exitCode } = await this.#expand(word, environment, streams);
      if (argv.length === 0 && words.length === 0) substitutionCode = exitCode;
      append(argv, words);
    }
    const name = argv[0];
    // Nothing is left of a command like `$UNSET`; of `$(false)`, the exit code.
    if (name === undefined) return substitutionCode;
    if (name === "") return 0;

    const env = environment.forCommand(assigned);
    const run = builtinFor(name);
    let path = name;
    if (run === null) {
      const found = await this.#options.runner.which(name, env, environment.cwd);
      if (found === null) throw new CommandFailure(`command not found: ${name}\n`);
      path = found;
    }

    const files: FileHandle[] = [];
    try {
      const redirected = redirect === null ? streams : await this.#redirect(redirect, file, name, environment, streams, files);
      if (run !== null) {
        return await run({
          name,
          args: argv.slice(1),
          environment,
          env,
          runner: this.#options.runner,
          signal: this.#options.signal,
          stdin: redirected.stdin,
          out: async (data) => redirected.stdout.write(typeof data === "string" ? encode(data) : data),
          err: async (data) => void (await redirected.stderr.write(encode(data))),
        });
      }
      return await this.#external([path, ...argv.slice(1)], env, environment.cwd, redirected);
    } finally {
      await Promise.all(files.map((handle) => handle.close()));
    }
  }

  async #external(argv: string[], env: Record<string, string>, cwd: string, { stdin, stdout, stderr }: StandardStreams): Promise<number> {
    const { runner, signal } = this.#options;
    let running: RunningCommand;
    try {
      running = runner.spawn({ argv, cwd, env, stdin, ...(signal === undefined ? {} : { signal }) });
    } catch (error) {
      throw new CommandFailure(`${systemMessage(error)}: ${argv[0] ?? ""}\n`);
    }
    const [exit] = await Promise.all([
      running.exited.catch((error: unknown) => {
        if (isRunnerGone(error)) throw error;
        throw new CommandFailure(`${systemMessage(error)}: ${argv[0] ?? ""}\n`);
      }),
      pump(running.stdout, stdout, running),
      pump(running.stderr, stderr, running),
    ]);
    if (exit.exitCode !== null) return exit.exitCode;
    return 128 + ((constants.signals as Record<string, number>)[exit.signal ?? ""] ?? 0);
  }

  async #redirect({ flags, target }: Redirect, words: readonly string[] | null, name: string, environment: ShellEnvironment, streams: StandardStreams, files: FileHandle[]): Promise<StandardStreams> {
    if (flags.duplicate) return flags.stdout ? { ...streams, stderr: streams.stdout } : { ...streams, stdout: streams.stderr };
    if (target?.type === "object") {
      if (target.value instanceof ReadableStream) {
        throw new Error("ReadableStream is not supported as a shell redirect yet. Buffer it first, e.g. `< ${await new Response(stream).blob()}`, or use Bun.spawn({ stdin: stream })");
      }
      if (flags.stdin) return { ...streams, stdin: sourceOf(await readObject(target.value)) };
      const memory = memoryOf(target.value);
      return { ...streams, ...(flags.stdout ? { stdout: new MemorySink(memory) } : {}), ...(flags.stderr ? { stderr: new MemorySink(memory) } : {}) };
    }
    const [path, ...others] = words ?? [];
    if (path === undefined || path === "" || others.length > 0) throw new CommandFailure(`ambiguous redirect: at \`${name}\`\n`);
    let handle: FileHandle;
    try {
      handle = await open(resolve(environment.cwd, path), flags.stdin ? "r" : flags.append ? "a" : "w");
    } catch (error) {
      throw new CommandFailure(`${systemMessage(error)}: ${path}`);
    }
    files.push(handle);
    if (flags.stdin) return { ...streams, stdin: handle.createReadStream({ autoClose: false }) };
    const sink = new FileSink(handle);
    return { ...streams, ...(flags.stdout ? { stdout: sink } : {}), ...(flags.stderr ? { stderr: sink } : {}) };
  }

  async #expand(word: Command["words"][number], environment: ShellEnvironment, streams: StandardStreams): ReturnType<typeof expandWord> {
    try {
      return await expandWord(word, this.#expander(environment, streams));
    } catch (error) {
      if (error instanceof CommandFailure) throw new CommandFailure(`${error.message}\n`, error.exitCode);
      throw error;
    }
  }

  #expander(environment: ShellEnvironment, streams: StandardStreams): Expander {
    return {
      environment,
      positional: this.#options.positional,
      substitute: async (script) => {
        const stdout = new Collector();
        const exitCode = await this.#statements(script.statements, environment.copy(), { ...streams, stdout });
        return { stdout: stdout.text(), exitCode };
      },
    };
  }
}

/** Copy what a command writes; when nobody reads it, the command goes the way of SIGPIPE. */
async function pump(from: AsyncIterable<Uint8Array>, to: ByteSink, running: RunningCommand): Promise<void> {
  for await (const chunk of from) {
    if (await to.write(chunk)) continue;
    running.kill("SIGPIPE");
    return;
  }
}

async function readObject(value: RedirectObject): Promise<Uint8Array> {
  if (value instanceof Blob || value instanceof Response) return new Uint8Array(await value.arrayBuffer());
  return memoryOf(value);
}

function memoryOf(value: RedirectObject): Uint8Array {
  if (ArrayBuffer.isView(value)) return new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
  if (value instanceof ArrayBuffer || value instanceof SharedArrayBuffer) return new Uint8Array(value);
  throw new Error("Cannot redirect stdout/stderr to an immutable blob. Expected a file");
}
