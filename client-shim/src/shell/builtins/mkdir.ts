import { mkdir as makeDirectory } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { systemMessage } from "../errors.js";
import { type Builtin, fail, splitOptions } from "./context.js";

const USAGE = "usage: mkdir [-pv] [-m mode] directory_name ...\n";

export const mkdir: Builtin = async (context) => {
  const { options, operands } = splitOptions(context.args);
  let parents = false;
  let verbose = false;
  for (const option of options) {
    for (const letter of option === "--parents" ? "p" : option === "--verbose" ? "v" : option.slice(1)) {
      if (letter === "p") parents = true;
      else if (letter === "v") verbose = true;
      else if (letter === "m") return fail(context, "mkdir: unsupported option, please open a GitHub issue -- -m\n");
      else return fail(context, "mkdir: illegal option -- \n");
    }
  }
  if (operands.length === 0) return fail(context, USAGE);
  let exitCode = 0;
  for (const operand of operands) {
    const path = resolve(context.environment.cwd, operand);
    try {
      const first = await makeDirectory(path, { recursive: parents });
      if (verbose) await context.out(created(parents ? first : path, path));
    } catch (error) {
      await context.err(`mkdir: ${path}: ${systemMessage(error)}\n`);
      exitCode = 1;
    }
  }
  return exitCode;
};

/** A line per directory from the first new one down to the one asked for. */
function created(first: string | undefined, last: string): string {
  if (first === undefined) return "";
  const lines = [last];
  for (let path = last; path !== first && path !== dirname(path); ) {
    path = dirname(path);
    lines.unshift(path);
  }
  return lines.map((path) => `${path}\n`).join("");
}
