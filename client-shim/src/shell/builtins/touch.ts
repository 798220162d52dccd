import { open, utimes } from "node:fs/promises";
import { resolve } from "node:path";
import { errorCode, systemMessage } from "../errors.js";
import { type Builtin, fail, splitOptions } from "./context.js";

const USAGE = "usage: touch [-A [-][[hh]mm]SS] [-achm] [-r file] [-t [[CC]YY]MMDDhhmm[.SS]]\n       [-d YYYY-MM-DDThh:mm:SS[.frac][tz]] file ...\n";

export const touch: Builtin = async (context) => {
  const { options, operands } = splitOptions(context.args);
  for (const letter of options.flatMap((option) => Array.from(option.slice(1)))) {
    if ("acdhmrt".includes(letter)) return fail(context, `touch: unsupported option, please open a GitHub issue -- -${letter}\n`);
    return fail(context, "touch: illegal option -- \n");
  }
  if (operands.length === 0) return fail(context, USAGE);
  let exitCode = 0;
  for (const operand of operands) {
    const path = resolve(context.environment.cwd, operand);
    const now = new Date();
    try {
      await utimes(path, now, now).catch(async (error: unknown) => {
        if (errorCode(error) !== "ENOENT") throw error;
        await (await open(path, "a")).close();
      });
    } catch (error) {
      await context.err(`touch: ${path}: ${systemMessage(error)}\n`);
      exitCode = 1;
    }
  }
  return exitCode;
};
