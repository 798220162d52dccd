import { expandBraces } from "./braces.js";
import { escapeText } from "./escape.js";
import { ShellError } from "./output.js";
import { parse } from "./parser.js";
import { type EnvironmentInput, normalizeCwd, type ShellHost, ShellPromise } from "./promise.js";
import type { CommandRunner } from "./runner.js";
import type { ByteSource } from "./streams.js";
import { templateSource } from "./template.js";

export { nodeRunner } from "./node-runner.js";
export { ShellError, ShellOutput } from "./output.js";
export { ShellPromise } from "./promise.js";
export type { CommandRunner, RunningCommand, SpawnCommand } from "./runner.js";

export interface CreateShellOptions {
  /** What scripts read that are not given an input; nothing by default. */
  stdin?: () => ByteSource;
  /** Where the output of scripts goes that are not quiet; the process's own streams by default. */
  stdout?: (chunk: Uint8Array) => void;
  stderr?: (chunk: Uint8Array) => void;
  /** `$0` to `$9`; the running program and its script by default. */
  positional?: readonly string[];
  /** Ends all commands. */
  signal?: AbortSignal;
}

/** A `$` template tag. */
export interface Shell {
  (strings: TemplateStringsArray, ...expressions: unknown[]): ShellPromise;
  /** Set the environment of this shell's scripts; without one, the process's. */
  env(newEnv?: EnvironmentInput): this;
  cwd(newCwd?: string): this;
  nothrow(): this;
  throws(shouldThrow: boolean): this;
}

export interface RootShell extends Shell {
  braces(pattern: string): string[];
  escape(input: string): string;
  /** A shell with settings of its own. */
  readonly Shell: new () => Shell;
  readonly ShellPromise: typeof ShellPromise;
  readonly ShellError: typeof ShellError;
}

/** Make a `$` that behaves like Bun's and starts external commands through `runner`. */
export function createShell(runner: CommandRunner, options: CreateShellOptions = {}): RootShell {
  const host: ShellHost = {
    runner,
    stdin: options.stdin ?? (() => null),
    echoStdout: options.stdout ?? ((chunk) => void process.stdout.write(chunk)),
    echoStderr: options.stderr ?? ((chunk) => void process.stderr.write(chunk)),
    positional: options.positional ?? [process.execPath, ...process.argv.slice(1)],
    signal: options.signal,
  };
  function Shell(): Shell {
    if (new.target === undefined) throw new TypeError("Class constructor Shell cannot be invoked without 'new'");
    return createTag(host, "Shell");
  }
  const members = {
    Shell,
    ShellPromise,
    ShellError,
    braces: (pattern: string) => expandBraces(String(pattern)),
    escape: (input: string) => escapeText(input),
  };
  return Object.assign(createTag(host, "BunShell"), members) as unknown as RootShell;
}

function createTag(host: ShellHost, name: string): Shell {
  let cwd: string | undefined;
  let env: EnvironmentInput | undefined;
  let throws = true;
  const tag = (first: TemplateStringsArray, ...values: unknown[]): ShellPromise => {
    if ((first as { raw?: readonly string[] } | undefined)?.raw === undefined) throw new Error("Please use '$' as a tagged template function: $`cmd arg1 arg2`");
    return new ShellPromise({ host, script: parse(templateSource(first.raw, values)), cwd, env, throws });
  };
  // On a prototype: like Bun's `$`, the function itself lists none of them.
  const settings = Object.setPrototypeOf(
    {
      env(newEnv?: EnvironmentInput) {
        if (newEnv !== undefined && !newEnv) throw new TypeError("env must be an object or undefined");
        env = newEnv === undefined || newEnv === process.env ? undefined : { ...newEnv };
        return tag;
      },
      cwd(newCwd?: string) {
        if (newCwd !== undefined && typeof newCwd !== "string") throw new TypeError("cwd must be a string or undefined");
        cwd = normalizeCwd(newCwd);
        return tag;
      },
      nothrow() {
        throws = false;
        return tag;
      },
      throws(shouldThrow: boolean) {
        throws = Boolean(shouldThrow);
        return tag;
      },
    },
    Function.prototype,
  ) as object;
  Object.setPrototypeOf(tag, settings);
  Object.defineProperty(tag, "name", { value: name, configurable: true, enumerable: name === "Shell" });
  return tag as unknown as Shell;
}
