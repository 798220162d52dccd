import { basename, dirname } from "./names.js";
import type { Builtin } from "./context.js";
import { cat } from "./cat.js";
import { cd, pwd } from "./directory.js";
import { cp } from "./cp.js";
import { echo } from "./echo.js";
import { exit, exportVariables, failure, success, which } from "./control.js";
import { ls } from "./ls.js";
import { mkdir } from "./mkdir.js";
import { mv } from "./mv.js";
import { rm } from "./rm.js";
import { seq } from "./seq.js";
import { touch } from "./touch.js";
import { yes } from "./yes.js";

const BUILTINS: ReadonlyMap<string, Builtin> = new Map<string, Builtin>([
  ["basename", basename],
  ["cd", cd],
  ["dirname", dirname],
  ["echo", echo],
  ["exit", exit],
  ["export", exportVariables],
  ["false", failure],
  ["ls", ls],
  ["mkdir", mkdir],
  ["mv", mv],
  ["pwd", pwd],
  ["rm", rm],
  ["seq", seq],
  ["touch", touch],
  ["true", success],
  ["which", which],
  ["yes", yes],
]);

/** As in Bun: elsewhere the system's own programs run. */
const WINDOWS_ONLY: ReadonlyMap<string, Builtin> = new Map<string, Builtin>([
  ["cat", cat],
  ["cp", cp],
]);

export function builtinFor(name: string): Builtin | null {
  return BUILTINS.get(name) ?? (process.platform === "win32" ? WINDOWS_ONLY.get(name) : undefined) ?? null;
}
