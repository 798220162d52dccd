import { cp, rename, rm, stat } from "node:fs/promises";
import { basename, join, resolve } from "node:path";
import { errorCode, errorNumber, systemMessage } from "../errors.js";
import { type Builtin, fail, splitOptions } from "./context.js";

const USAGE = "usage: mv [-f | -i | -n] [-hv] source target\n       mv [-f | -i | -n] [-v] source ... directory\n";

export const mv: Builtin = async (context) => {
  const { options, operands } = splitOptions(context.args);
  for (const letter of options.flatMap((option) => Array.from(option.slice(1)))) {
    if (!"fhinv".includes(letter)) return fail(context, "mv: illegal option -- -\n");
  }
  const target = operands.at(-1);
  const sources = operands.slice(0, -1);
  if (target === undefined || sources.length === 0) return fail(context, USAGE);
  const { cwd } = context.environment;
  let isDirectory = false;
  try {
    isDirectory = (await stat(resolve(cwd, target))).isDirectory();
  } catch (error) {
    const code = errorCode(error);
    if (code === "ENOENT" && sources.length > 1) return fail(context, `mv: ${target}: No such file or directory\n`);
    if (code !== "ENOENT" && code !== "ENOTDIR") return fail(context, `mv: ${target}: ${systemMessage(error)}\n`);
  }
  if (!isDirectory && sources.length > 1) return fail(context, `mv: ${target} is not a directory\n`);
  for (const source of sources) {
    const destination = isDirectory ? join(target, basename(source)) : target;
    try {
      await move(resolve(cwd, source), resolve(cwd, destination));
    } catch (error) {
      const named = isDirectory || errorCode(error) === "ENOTDIR" ? destination : source;
      return fail(context, `mv: ${named}: ${systemMessage(error)}\n`, errorNumber(error));
    }
  }
  return 0;
};

async function move(from: string, to: string): Promise<void> {
  try {
    await rename(from, to);
  } catch (error) {
    if (errorCode(error) !== "EXDEV") throw error;
    await cp(from, to, { recursive: true, preserveTimestamps: true, verbatimSymlinks: true });
    await rm(from, { recursive: true });
  }
}
