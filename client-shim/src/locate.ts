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
    tried.push(`${place}: ${problem}`);
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

/** Why this command is not a sidecar, or undefined. */
function check(command: Command, env: NodeJS.ProcessEnv): Promise<string | undefined> {
  const [program, ...rest] = command;
  return new Promise((resolve) => {
    let output = "";
    let words = "";
    const child = spawn(program, [...rest, "--version"], { stdio: ["ignore", "pipe", "pipe"], windowsHide: true, env });
    const late = setTimeout(() => {
      child.kill("SIGKILL");
      resolve(`no answer within ${CHECK_MS / 1000} s`);
    }, CHECK_MS);
    child.stdout.setEncoding("utf8").on("data", (text: string) => (output = (output + text).slice(0, 1000)));
    child.stderr.setEncoding("utf8").on("data", (text: string) => (words = (words + text).slice(-1000)));
    child.once("error", (error) => {
      clearTimeout(late);
      resolve(error.message);
    });
    child.once("close", (code) => {
      clearTimeout(late);
      const said = words.trim().split("\n").at(-1) ?? "";
      resolve(code === 0 && /^opencode-sidecar \d/.test(output) ? undefined : `status ${code}${said === "" ? "" : `, ${said}`}`);
    });
  });
}
