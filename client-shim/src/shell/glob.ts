/**
 * Pathname expansion. Not a library: in this dialect only `*`, `**` and braces are special, quoting is known per
 * character, results keep the spelling of the pattern (`./`, `dir/../`) and the order of the directory.
 */
import { append } from "./append.js";
import { opendir, stat } from "node:fs/promises";
import { isAbsolute, join, parse } from "node:path";
import { expandMarked, type MarkedChar } from "./braces.js";

type Segment = readonly MarkedChar[];

interface PendingStep {
  readonly prefix: string;
  readonly segments: readonly Segment[];
}

interface Entry {
  readonly name: string;
  readonly isDirectory: boolean;
}

/** The paths that match, as written: relative patterns give relative paths. */
export async function expandGlob(pattern: readonly MarkedChar[], cwd: string): Promise<string[]> {
  const results: string[] = [];
  const seen = new Set<string>();
  for (const variant of expandMarked(pattern)) {
    for (const path of await expandOne(variant, cwd)) {
      if (!seen.has(path)) results.push(path);
      seen.add(path);
    }
  }
  return results;
}

async function expandOne(pattern: readonly MarkedChar[], cwd: string): Promise<string[]> {
  const text = pattern.map(({ char }) => char).join("");
  let prefix = "";
  let rest: readonly MarkedChar[] = pattern;
  if (isAbsolute(text)) {
    prefix = parse(text).root;
    rest = pattern.slice(Array.from(prefix).length);
  }
  const results: string[] = [];
  const directoriesOnly = text.endsWith("/");
  const pending: PendingStep[] = [{ prefix, segments: splitSegments(rest) }];
  // A stack: a directory's own matches come first, then those below its last directory. The order is Bun's.
  for (let item = pending.pop(); item !== undefined; item = pending.pop()) append(pending, await step(item, cwd, directoriesOnly, results));
  return results;
}

async function step({ prefix, segments }: PendingStep, cwd: string, directoriesOnly: boolean, results: string[]): Promise<PendingStep[]> {
  const [first, ...rest] = segments;
  if (first === undefined) return [];
  if (!isMagic(first)) {
    const path = prefix + first.map(({ char }) => char).join("");
    if (rest.length > 0) return [{ prefix: `${path}/`, segments: rest }];
    if (await exists(join(cwd, path), path)) results.push(path);
    return [];
  }
  const entries = await list(isAbsolute(prefix) ? prefix : join(cwd, prefix));
  const next: PendingStep[] = [];
  if (isDoubleStar(first)) {
    const after = rest.length > 0 ? rest : null;
    const regexp = after?.[0] === undefined ? null : toRegExp(after[0]);
    for (const { name, isDirectory } of entries) {
      if (name.startsWith(".")) continue;
      const path = prefix + name;
      if (after === null) results.push(path);
      else if (regexp?.test(name) === true) {
        if (after.length === 1) results.push(path);
        else if (isDirectory) next.push({ prefix: `${path}/`, segments: after.slice(1) });
      }
      if (isDirectory) next.push({ prefix: `${path}/`, segments });
    }
    return next;
  }
  const regexp = toRegExp(first);
  const dot = first[0]?.char === ".";
  for (const { name, isDirectory } of entries) {
    if ((name.startsWith(".") && !dot) || !regexp.test(name)) continue;
    if (rest.length === 0) {
      if (isDirectory || !directoriesOnly) results.push(prefix + name);
    }
    else if (isDirectory) next.push({ prefix: `${prefix}${name}/`, segments: rest });
  }
  return next;
}

function splitSegments(pattern: readonly MarkedChar[]): Segment[] {
  const segments: MarkedChar[][] = [[]];
  for (const marked of pattern) {
    if (marked.char === "/") segments.push([]);
    else segments.at(-1)?.push(marked);
  }
  // `*/` and `a//b` name the same files as `*` and `a/b`.
  return segments.filter((segment) => segment.length > 0);
}

function isMagic(segment: Segment): boolean {
  return segment.some(({ char, literal }) => char === "*" && !literal);
}

function isDoubleStar(segment: Segment): boolean {
  return segment.length === 2 && segment.every(({ char, literal }) => char === "*" && !literal);
}

function toRegExp(segment: Segment): RegExp {
  const source = segment.map(({ char, literal }) => (char === "*" && !literal ? ".*" : char.replace(/[\\^$.*+?()[\]{}|/]/, "\\$&"))).join("");
  return new RegExp(`^${source}$`, "su");
}

async function list(directory: string): Promise<Entry[]> {
  const entries: Entry[] = [];
  try {
    // Not readdir(): Node sorts its result, Bun's shell does not.
    for await (const entry of await opendir(directory)) entries.push({ name: entry.name, isDirectory: entry.isDirectory() });
  } catch {
    // What cannot be listed matches nothing.
  }
  return entries;
}

async function exists(path: string, written: string): Promise<boolean> {
  return stat(isAbsolute(written) ? written : path).then(
    () => true,
    () => false,
  );
}
