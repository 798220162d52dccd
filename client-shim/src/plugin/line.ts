import type { Progress } from "../connection.js";

const NAMES: Record<string, string> = {
  connect: "asking the remote",
  scan: "looking at conversations",
  settle: "waiting for a session to go quiet",
  fetch: "fetching",
  index: "reading what arrived",
  apply: "merging",
  push: "pushing",
  verify: "comparing",
  restore: "restoring",
  snapshot: "copying the database, once",
  doctor: "examining",
};

/** One line about work under way, e.g. `merging 3/10 (1.2 MB)`; undefined when there is nothing to say. */
export function lineOf(progress: Progress): string | undefined {
  if (progress.kind !== "report") return undefined;
  const { phase, done, total, bytes } = progress;
  const name = NAMES[phase] ?? phase;
  const count = total ? ` ${done}/${total}` : done > 0 ? ` ${done}` : "";
  return `${name}${count}${bytes ? ` (${(bytes / 1e6).toFixed(1)} MB)` : ""}`;
}

/** Hands a line on at most every `everyMs`, and the first only after `afterMs`: quick work shows nothing. */
export function updating(show: (line: string) => void, afterMs: number, everyMs: number): (progress: Progress) => void {
  let next = Date.now() + afterMs;
  let shown = "";
  return (progress) => {
    const line = lineOf(progress);
    const now = Date.now();
    if (line === undefined || line === shown || now < next) return;
    next = now + everyMs;
    shown = line;
    show(line);
  };
}
