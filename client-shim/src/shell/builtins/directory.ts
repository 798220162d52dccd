import { stat } from "node:fs/promises";
import { join, resolve } from "node:path";
import { errorCode, systemMessage } from "../errors.js";
import { type Builtin, fail } from "./context.js";

export const pwd: Builtin = async (context) => {
  if (context.args.length > 0) return fail(context, "pwd: too many arguments\n");
  await context.out(`${context.environment.cwd}\n`);
  return 0;
};

export const cd: Builtin = async (context) => {
  const { args, environment } = context;
  if (args.length > 1) return fail(context, "cd: too many arguments\n");
  const [operand = "~"] = args;
  if (operand === "") return 0;
  let target = operand;
  if (operand.startsWith("-")) target = environment.previousCwd;
  else if (operand.startsWith("~")) target = join(environment.home(), operand.slice(1));
  const path = resolve(environment.cwd, target);
  try {
    if (!(await stat(path)).isDirectory()) return await fail(context, `cd: not a directory: ${target}\n`);
  } catch (error) {
    const code = errorCode(error);
    if (code === "ENOENT" || code === "ENOTDIR") return fail(context, `cd: not a directory: ${target}\n`);
    if (code === "ENAMETOOLONG") return fail(context, "cd: file name too long\n");
    return fail(context, `cd: ${systemMessage(error)}: ${target}\n`);
  }
  environment.changeDirectory(path);
  return 0;
};
