import { lstat, opendir, rmdir, unlink } from "node:fs/promises";
import { parse, resolve } from "node:path";
import { errorCode, systemMessage } from "../errors.js";
import { type Builtin, type BuiltinContext, fail } from "./context.js";

const USAGE = "usage: rm [-f | -i] [-dIPRrvWx] file ...\n       unlink [--] file\n";

interface Options {
  force: boolean;
  recursive: boolean;
  verbose: boolean;
  emptyDirectories: boolean;
  prompt: boolean;
}

export const rm: Builtin = async (context) => {
  const options: Options = { force: false, recursive: false, verbose: false, emptyDirectories: false, prompt: false };
  const operands = [...context.args];
  for (let option = operands[0]; option !== undefined; option = operands[0]) {
    if (option === "--") {
      operands.shift();
      break;
    }
    if (!option.startsWith("-") || option === "-") break;
    const illegal = applyOption(option, options);
    if (illegal !== null) return fail(context, `rm: illegal option -- ${illegal}\n`);
    operands.shift();
  }
  if (operands.length === 0) return fail(context, USAGE);
  if (options.prompt) return fail(context, 'rm: "-i" is not supported yet');
  for (const operand of operands) {
    const path = resolve(context.environment.cwd, operand);
    if (parse(path).root === path) return fail(context, `rm: "${path}" may not be removed\n`);
  }
  let exitCode = 0;
  for (const operand of operands) if (!(await remove(context, operand, options))) exitCode = 1;
  return exitCode;
};

/** The part of the option that is none, or null. */
function applyOption(option: string, options: Options): string | null {
  const long: Readonly<Record<string, string>> = { "--force": "f", "--recursive": "r", "--verbose": "v", "--dir": "d", "--interactive=never": "", "--interactive=once": "I", "--interactive=always": "i", "--preserve-root": "" };
  if (option.startsWith("--") && long[option] === undefined) return "-";
  for (const letter of long[option] ?? option.slice(1)) {
    if (letter === "f") options.force = true;
    else if (letter === "r" || letter === "R") options.recursive = true;
    else if (letter === "v") options.verbose = true;
    else if (letter === "d") options.emptyDirectories = true;
    else if (letter === "i" || letter === "I") options.prompt = true;
    else return letter;
  }
  return null;
}

/** `written` is relative to the shell's directory, and is what messages show. */
async function remove(context: BuiltinContext, written: string, options: Options): Promise<boolean> {
  const path = resolve(context.environment.cwd, written);
  try {
    // lstat: a link to a directory is removed, not followed.
    if (!(await lstat(path)).isDirectory()) await unlink(path);
    else if (options.recursive) {
      let complete = true;
      for await (const entry of await opendir(path)) complete = (await remove(context, `${written.replace(/\/$/, "")}/${entry.name}`, options)) && complete;
      if (!complete) return false;
      await rmdir(path);
    } else if (options.emptyDirectories) await rmdir(path);
    else {
      await context.err(`rm: ${written}: Is a directory\n`);
      return false;
    }
  } catch (error) {
    if (options.force && errorCode(error) === "ENOENT") return true;
    await context.err(`rm: ${written}: ${systemMessage(error)}\n`);
    return false;
  }
  if (options.verbose) await context.out(`${written}\n`);
  return true;
}
