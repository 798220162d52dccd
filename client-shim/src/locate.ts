import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";

export type Command = readonly [string, ...string[]];

const CHECK_MS = 10_000;
/** `-P`: a folder named like one of our modules, in whatever project is open, must not be imported. Python 3.11 and newer know it. */
const PYTHON_ARGUMENTS = ["-P", "-m", "sidecar"];

/** No sidecar could be found or started. `tried` has one line for each place. */
export class SidecarNotFoundError extends Error {
  override readonly name: string = "SidecarNotFoundError";
  readonly tried: readonly string[];
  readonly remedy: string;

  constructor(tried: readonly string[]) {
    const remedy = "Install it with `uv tool install opencode-sidecar` or `pipx install opencode-sidecar`, or name the program in OPENCODE_SIDECAR_COMMAND.";
    super(`No opencode-sidecar was found. ${remedy} Tried: ${tried.join("; ")}.`);
    this.tried = tried;
    this.remedy = remedy;
  }
}

/**
 * The command that starts the sidecar: the setting `OPENCODE_SIDECAR_COMMAND` (a program, or a JSON array of program and
 * arguments), the bundle beside this package, the program on PATH, a Python >= 3.11 that has it, `uv tool run`.
 * A setting that does not work is an error, not a reason to look further. Rejects with `SidecarNotFoundError`.
 */
export async function locate(env: NodeJS.ProcessEnv = process.env): Promise<Command> {
  const tried: string[] = [];
  for (const [place, command] of candidates(env)) {
    const problem = command === undefined ? "not there" : await check(command, env);
    if (command !== undefined && problem === undefined) return command;
    tried.push(`${place}: ${(command?.includes("-P") === true ? await pythonProblem(command, env) : undefined) ?? problem}`);
  }
  throw new SidecarNotFoundError(tried);
}

function candidates(env: NodeJS.ProcessEnv): Array<[string, Command | undefined]> {
  const named = env["OPENCODE_SIDECAR_COMMAND"];
  if (named) return [["OPENCODE_SIDECAR_COMMAND", parse(named)]];
  const windows = process.platform === "win32";
  const bundle = fileURLToPath(new URL(`../bundle/${process.platform}-${process.arch}/opencode-sidecar${windows ? ".exe" : ""}`, import.meta.url));
  const pythons: Command[] = windows ? [["py", "-3", ...PYTHON_ARGUMENTS], ["python", ...PYTHON_ARGUMENTS]] : [["python3", ...PYTHON_ARGUMENTS], ["python", ...PYTHON_ARGUMENTS]];
  return [
    ["bundled beside the package", existsSync(bundle) ? [bundle] : undefined],
    ["opencode-sidecar on PATH", onPath("opencode-sidecar", env)],
    ...pythons.map(([program, ...rest]): [string, Command | undefined] => [`${program} with the module`, onPath(program, env, rest)]),
    ["uv tool run", onPath("uv", env, ["tool", "run", "--quiet", "opencode-sidecar"])],
  ];
}

function parse(named: string): Command | undefined {
  if (!named.startsWith("[")) return [named];
  try {
    const found: unknown = JSON.parse(named);
    return Array.isArray(found) && found.length > 0 && found.every((part) => typeof part === "string") ? (found as unknown as Command) : undefined;
  } catch {
    return undefined;
  }
}

/** Programs of an app started from the desktop's menu have a short PATH: the usual places of per-user installs are looked at, too. */
function onPath(program: string, env: NodeJS.ProcessEnv, rest: readonly string[] = []): Command | undefined {
  const home = env["HOME"] ?? env["USERPROFILE"];
  const usual = home === undefined ? [] : [join(home, ".local", "bin"), "/opt/homebrew/bin", "/usr/local/bin"];
  const suffixes = process.platform === "win32" ? [".exe", ".cmd", ".bat", ""] : [""];
  for (const folder of [...(env["PATH"] ?? env["Path"] ?? "").split(delimiter), ...usual]) {
    if (folder === "") continue;
    for (const suffix of suffixes) {
      const path = join(folder, program + suffix);
      if (existsSync(path)) return [path, ...rest];
    }
  }
  return undefined;
}

/** What is wrong with a Python, where that can be said better than by what it printed. */
async function pythonProblem([program, ...rest]: Command, env: NodeJS.ProcessEnv): Promise<string | undefined> {
  const version = await ask(program, [...rest.slice(0, rest.indexOf("-P")), "-c", "import sys; print('Python %d.%d.%d' % sys.version_info[:3])"], env);
  const found = /^Python (\d+)\.(\d+)\.\d+/m.exec(version.output);
  if (found === null) return undefined;
  const recent = Number(found[1]) > 3 || (Number(found[1]) === 3 && Number(found[2]) >= 11);
  return recent ? `${program} is ${found[0]} without the package` : `${program} is ${found[0]}, 3.11 or newer is needed`;
}

/** Why this command is not a sidecar, or undefined. */
async function check([program, ...rest]: Command, env: NodeJS.ProcessEnv): Promise<string | undefined> {
  const { output, words, problem } = await ask(program, [...rest, "--version"], env);
  if (problem === undefined && /^opencode-sidecar \d/.test(output)) return undefined;
  const said = words.trim().split("\n").at(-1) ?? "";
  return `${problem ?? "it is another program"}${said === "" ? "" : `, ${said}`}`;
}

/** What a program prints, and how it failed. */
function ask(program: string, rest: readonly string[], env: NodeJS.ProcessEnv): Promise<{ output: string; words: string; problem: string | undefined }> {
  return new Promise((resolve) => {
    let output = "";
    let words = "";
    const end = (problem?: string): void => {
      clearTimeout(late);
      resolve({ output, words, problem });
    };
    const child = spawn(program, [...rest], { stdio: ["ignore", "pipe", "pipe"], windowsHide: true, env });
    const late = setTimeout(() => {
      child.kill("SIGKILL");
      end(`no answer within ${CHECK_MS / 1000} s`);
    }, CHECK_MS);
    child.stdout.setEncoding("utf8").on("data", (text: string) => (output = (output + text).slice(0, 1000)));
    child.stderr.setEncoding("utf8").on("data", (text: string) => (words = (words + text).slice(-1000)));
    child.once("error", (error) => end(error.message));
    child.once("close", (code, signal) => end(code === 0 ? undefined : (signal ?? `status ${code}`)));
  });
}
