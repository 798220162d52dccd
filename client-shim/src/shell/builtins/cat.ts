import { open } from "node:fs/promises";
import { resolve } from "node:path";
import { systemMessage } from "../errors.js";
import { type Builtin, fail, splitOptions } from "./context.js";

export const cat: Builtin = async (context) => {
  const { options, operands } = splitOptions(context.args);
  const [option] = options;
  if (option !== undefined) return fail(context, `cat: unsupported option, please open a GitHub issue -- ${option}\n`);
  let exitCode = 0;
  for (const path of operands.length === 0 ? ["-"] : operands) {
    try {
      if (path === "-") {
        for await (const chunk of context.stdin ?? []) if (!(await context.out(chunk))) return 1;
        continue;
      }
      const file = await open(resolve(context.environment.cwd, path));
      for await (const chunk of file.createReadStream()) if (!(await context.out(chunk as Uint8Array))) return 1;
    } catch (error) {
      await context.err(`cat: ${path}: ${systemMessage(error)}\n`);
      exitCode = 1;
    }
  }
  return exitCode;
};
