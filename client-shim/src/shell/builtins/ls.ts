import type { Stats } from "node:fs";
import { lstat, opendir, stat } from "node:fs/promises";
import { join, resolve } from "node:path";
import { errorCode, systemMessage } from "../errors.js";
import { type Builtin, type BuiltinContext, fail, splitOptions } from "./context.js";

const KNOWN = "@ABCFGHILOPRSTUWabcdefghiklmnopqrstuvwxy1%,";
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const HALF_A_YEAR = 180 * 24 * 3600 * 1000;

interface Options {
  all: boolean;
  almostAll: boolean;
  directory: boolean;
  long: boolean;
  recursive: boolean;
}

export const ls: Builtin = async (context) => {
  const { options, operands } = splitOptions(context.args);
  const chosen: Options = { all: false, almostAll: false, directory: false, long: false, recursive: false };
  for (const letter of options.flatMap((option) => Array.from(option.slice(1)))) {
    if (!KNOWN.includes(letter)) return fail(context, `ls: illegal option -- ${letter}\n`);
    if (letter === "a") chosen.all = true;
    else if (letter === "A") chosen.almostAll = true;
    else if (letter === "d") chosen.directory = true;
    else if (letter === "l") chosen.long = true;
    else if (letter === "R") chosen.recursive = true;
  }
  if (operands.length === 0) return list(context, ".", chosen, false);
  let exitCode = 0;
  for (const path of operands) exitCode = Math.max(exitCode, await list(context, path, chosen, operands.length > 1));
  return exitCode;
};

async function list(context: BuiltinContext, path: string, options: Options, header: boolean): Promise<number> {
  const absolute = resolve(context.environment.cwd, path);
  try {
    if (options.directory || !(await stat(absolute)).isDirectory()) {
      await context.out(await line(path, absolute, options));
      return 0;
    }
    let text = header ? `${path}:\n` : "";
    const below: string[] = [];
    const names = options.all ? [".", ".."] : [];
    for await (const entry of await opendir(absolute)) {
      if (entry.name.startsWith(".") && !options.all && !options.almostAll) continue;
      names.push(entry.name);
      if (entry.isDirectory()) below.push(entry.name);
    }
    for (const name of names) text += await line(name, join(absolute, name), options);
    await context.out(text);
    let exitCode = 0;
    if (options.recursive) for (const name of below) exitCode = Math.max(exitCode, await list(context, `${path.replace(/\/$/, "")}/${name}`, options, true));
    return exitCode;
  } catch (error) {
    if (errorCode(error) === undefined) throw error;
    return fail(context, `ls: ${path}: ${systemMessage(error)}\n`);
  }
}

async function line(name: string, path: string, { long }: Options): Promise<string> {
  const status = long ? await lstat(path).catch(() => null) : null;
  if (status === null) return `${name}\n`;
  const columns = [mode(status), pad(status.nlink, 3), pad(status.uid, 5), pad(status.gid, 5), pad(status.size, 8), time(status.mtime)];
  return `${columns.join(" ")} ${name}\n`;
}

function pad(value: number, width: number): string {
  return String(value).padStart(width);
}

function mode(status: Stats): string {
  const kind = status.isDirectory() ? "d" : status.isSymbolicLink() ? "l" : status.isBlockDevice() ? "b" : status.isCharacterDevice() ? "c" : status.isFIFO() ? "p" : status.isSocket() ? "s" : "-";
  const bits = Array.from("rwxrwxrwx", (letter, index) => ((status.mode >> (8 - index)) & 1 ? letter : "-"));
  const special: [mask: number, index: number, letter: string][] = [
    [0o4000, 2, "s"],
    [0o2000, 5, "s"],
    [0o1000, 8, "t"],
  ];
  for (const [mask, index, letter] of special) if (status.mode & mask) bits[index] = bits[index] === "x" ? letter : letter.toUpperCase();
  return kind + bits.join("");
}

/** In UTC, as Bun prints it. */
function time(date: Date): string {
  const day = `${MONTHS[date.getUTCMonth()] ?? ""} ${String(date.getUTCDate()).padStart(2, "0")}`;
  const age = Date.now() - date.getTime();
  if (age > HALF_A_YEAR || age < 0) return `${day}  ${date.getUTCFullYear()}`;
  return `${day} ${String(date.getUTCHours()).padStart(2, "0")}:${String(date.getUTCMinutes()).padStart(2, "0")}`;
}
