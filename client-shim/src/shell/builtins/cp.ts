import { cp as copy, stat } from "node:fs/promises";
import { basename, join, resolve } from "node:path";
import { systemMessage } from "../errors.js";
import { type Builtin, fail, splitOptions } from "./context.js";

const USAGE = "usage: cp [-R [-H | -L | -P]] [-fi | -n] [-aclpsvXx] source_file target_file\n       cp [-R [-H | -L | -P]] [-fi | -n] [-aclpsvXx] source_file ... target_directory\n";

export const cp: Builtin = async (context) => {
  const { options, operands } = splitOptions(context.args);
  let recursive = false;
  let verbose = false;
  let overwrite = true;
  for (const letter of options.flatMap((option) => Array.from(option.slice(1)))) {
    if (letter === "R" || letter === "r") recursive = true;
    else if (letter === "v") verbose = true;
    else if (letter === "n") overwrite = false;
    else if (letter !== "f" && letter !== "P") return fail(context, `cp: unsupported option, please open a GitHub issue -- -${letter}\n`);
  }
  const target = operands.at(-1);
  const sources = operands.slice(0, -1);
  if (target === undefined || sources.length === 0) return fail(context, USAGE);
  const { cwd } = context.environment;
  const isDirectory = (await stat(resolve(cwd, target)).catch(() => null))?.isDirectory() ?? false;
  if (sources.length > 1 && !isDirectory) return fail(context, `cp: ${target} is not a directory\n`);
  let exitCode = 0;
  for (const source of sources) {
    const from = resolve(cwd, source);
    const to = resolve(cwd, isDirectory ? join(target, basename(source)) : target);
    try {
      if (!recursive && (await stat(from)).isDirectory()) {
        exitCode = await fail(context, `cp: ${source} is a directory (not copied)\n`);
        continue;
      }
      await copy(from, to, { recursive, force: overwrite, verbatimSymlinks: true });
      if (verbose) await context.out(`${from} -> ${to}\n`);
    } catch (error) {
      exitCode = await fail(context, `cp: ${source}: ${systemMessage(error)}\n`);
    }
  }
  return exitCode;
};
