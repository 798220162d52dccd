import { type Builtin, fail } from "./context.js";

const SEPARATOR = process.platform === "win32" ? /[/\\]/ : /\//;

export const basename: Builtin = async (context) => {
  if (context.args.length === 0) return fail(context, "usage: basename string\n");
  for (const path of context.args) await context.out(`${lastPart(path)}\n`);
  return 0;
};

export const dirname: Builtin = async (context) => {
  if (context.args.length === 0) return fail(context, "usage: dirname string\n");
  for (const path of context.args) await context.out(`${leadingParts(path)}\n`);
  return 0;
};

function withoutTrailing(path: string): string {
  let end = path.length;
  while (end > 1 && SEPARATOR.test(path[end - 1] ?? "")) end -= 1;
  return path.slice(0, end);
}

function lastPart(path: string): string {
  const trimmed = withoutTrailing(path);
  return trimmed.length === 1 ? trimmed : (trimmed.split(SEPARATOR).at(-1) ?? trimmed);
}

function leadingParts(path: string): string {
  const trimmed = withoutTrailing(path);
  const parts = trimmed.split(SEPARATOR);
  if (parts.length === 1) return ".";
  const leading = trimmed.slice(0, trimmed.length - (parts.at(-1)?.length ?? 0));
  return leading.length > 1 ? leading.slice(0, -1) : leading;
}
