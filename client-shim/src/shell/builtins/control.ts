import { type Builtin, fail } from "./context.js";

export const success: Builtin = async () => 0;

export const failure: Builtin = async () => 1;

/** Gives its command an exit code; as in Bun, the script goes on. */
export const exit: Builtin = async (context) => {
  const [operand, ...others] = context.args;
  if (operand === undefined) return 0;
  if (others.length > 0) return fail(context, "exit: too many arguments\n");
  if (!/^\+?[0-9]+$/.test(operand)) return fail(context, "exit: numeric argument required\n");
  const number = BigInt(operand);
  if (number >= 2n ** 64n) return fail(context, "exit: numeric argument required\n");
  return Number(number % 256n);
};

export const exportVariables: Builtin = async (context) => {
  const { exported } = context.environment;
  if (context.args.length === 0) {
    const lines = [...exported].map(([name, value]) => `${name}=${value}\n`);
    await context.out(lines.sort().join(""));
    return 0;
  }
  for (const argument of context.args) {
    const equals = argument.indexOf("=");
    if (equals === -1) exported.set(argument, "");
    else exported.set(argument.slice(0, equals), argument.slice(equals + 1));
  }
  return 0;
};

export const which: Builtin = async (context) => {
  if (context.args.length === 0) {
    await context.out("\n");
    return 1;
  }
  let exitCode = 0;
  for (const name of context.args) {
    const path = await context.runner.which(name, context.env, context.environment.cwd);
    if (path === null) exitCode = 1;
    await context.out(path === null ? `which: ${name} not found\n` : `${path}\n`);
  }
  return exitCode;
};
