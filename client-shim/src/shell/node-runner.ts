import { type ChildProcess, spawn } from "node:child_process";
import { access, constants, stat } from "node:fs/promises";
import { delimiter, isAbsolute, join, resolve } from "node:path";
import type { Readable } from "node:stream";
import type { CommandRunner, SpawnCommand } from "./runner.js";

const DEFAULT_PATH = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin";

/** Runs commands as child processes of this one. */
export const nodeRunner: CommandRunner = {
  spawn({ argv, cwd, env, stdin, signal }) {
    const [file = "", ...args] = argv;
    const child = spawn(file, args, { cwd, env, stdio: [stdin === null ? "ignore" : "pipe", "pipe", "pipe"], windowsHide: true });
    const kill = (name?: string): void => void child.kill((name ?? "SIGTERM") as NodeJS.Signals);
    const abort = (): void => kill();
    if (signal?.aborted === true) abort();
    signal?.addEventListener("abort", abort, { once: true });
    const exited = new Promise<{ exitCode: number | null; signal: string | null }>((settle, reject) => {
      child.once("error", reject);
      child.once("exit", (exitCode, name) => settle({ exitCode, signal: name }));
    }).finally(() => signal?.removeEventListener("abort", abort));
    if (stdin !== null) void feed(stdin, child, exited);
    return { stdout: output(child.stdout), stderr: output(child.stderr), exited, kill };
  },

  async which(name, env, cwd) {
    const windows = process.platform === "win32";
    const candidates = /[/\\]/.test(name) && (windows || name.includes("/")) ? [resolve(cwd, name)] : searchPath(env, windows).map((directory) => join(isAbsolute(directory) ? directory : resolve(cwd, directory), name));
    const suffixes = windows ? ["", ...(env["PATHEXT"] ?? ".EXE;.CMD;.BAT;.COM").split(";")] : [""];
    for (const candidate of candidates) {
      for (const suffix of suffixes) if (await isExecutable(candidate + suffix)) return candidate + suffix;
    }
    return null;
  },
};

function searchPath(env: Record<string, string>, windows: boolean): string[] {
  const path = windows ? Object.entries(env).find(([name]) => name.toUpperCase() === "PATH")?.[1] : env["PATH"];
  return (path ?? (windows ? "" : DEFAULT_PATH)).split(delimiter).filter((directory) => directory !== "");
}

async function isExecutable(path: string): Promise<boolean> {
  try {
    if (!(await stat(path)).isFile()) return false;
    await access(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

async function* output(stream: Readable | null): AsyncGenerator<Uint8Array> {
  if (stream === null) return;
  try {
    for await (const chunk of stream) yield chunk as Uint8Array;
  } catch {
    // The process could not be started or was killed: there is no more to read, and `exited` says why.
  }
}

/** Write the input; a command that does not read all of it is no error. */
async function feed(stdin: NonNullable<SpawnCommand["stdin"]>, child: ChildProcess, exited: Promise<unknown>): Promise<void> {
  const stream = child.stdin;
  if (stream === null) return;
  let closed = false;
  stream.on("error", () => {
    closed = true;
  });
  const gone = exited.then(
    () => null,
    () => null,
  );
  const input = stdin[Symbol.asyncIterator]();
  for (;;) {
    // An input that cannot be read (a directory) ends.
    const next = await Promise.race([input.next().catch(() => null), gone]);
    if (next === null || next.done === true || closed) break;
    const chunk = next.value;
    if (!stream.write(chunk)) await Promise.race([new Promise((drained) => stream.once("drain", drained)), gone]);
  }
  stream.end();
}
