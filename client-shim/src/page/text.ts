/** What the panel says in words. */
import type { Applied, Published, SessionChange } from "../generated/protocol.js";

export function count(number: number, one: string, many = `${one}s`): string {
  return `${number.toLocaleString("en")} ${number === 1 ? one : many}`;
}

const STEPS: ReadonlyArray<[Intl.RelativeTimeFormatUnit, number]> = [
  ["day", 86_400_000],
  ["hour", 3_600_000],
  ["minute", 60_000],
];

/** "2 minutes ago"; a time of more than a week ago is a date. */
export function ago(at: number, now = Date.now()): string {
  const past = now - at;
  if (Math.abs(past) < 60_000) return "just now";
  if (Math.abs(past) > 7 * 86_400_000) return new Date(at).toLocaleDateString("en", { dateStyle: "medium" });
  const [unit, size] = STEPS.find(([, step]) => Math.abs(past) >= step) ?? ["minute" as const, 60_000];
  return new Intl.RelativeTimeFormat("en", { numeric: "auto" }).format(-Math.round(past / size), unit);
}

export function exactly(at: number): string {
  return new Date(at).toLocaleString("en", { dateStyle: "medium", timeStyle: "medium" });
}

export function bytes(size: number): string {
  const units = ["B", "KB", "MB", "GB", "TB"];
  const step = size < 1 ? 0 : Math.min(units.length - 1, Math.floor(Math.log10(size) / 3));
  const value = size / 1000 ** step;
  return `${value >= 10 || step === 0 ? Math.round(value) : value.toFixed(1)} ${units[step]}`;
}

export const CHANGES: Record<string, string> = {
  in: "comes in",
  out: "goes out",
  both: "both ways",
  deleteIn: "deleted here",
  deleteOut: "deleted elsewhere",
};

export function change(entry: SessionChange): string {
  return CHANGES[entry.change] ?? entry.change;
}

/** "3 sessions in, 1 out" */
export function moved(applied: Applied, published: Published): string {
  const parts = [applied.sessions > 0 ? `${count(applied.sessions, "session")} in` : "", published.sessions > 0 ? `${count(published.sessions, "session")} out` : ""];
  return parts.filter(Boolean).join(", ") || "nothing moved";
}

/** "2 added, 1 changed, 1 deleted": rows. */
export function rows(applied: Pick<Applied, "inserted" | "updated" | "deleted">): string {
  const parts = [
    [applied.inserted, "added"],
    [applied.updated, "changed"],
    [applied.deleted, "deleted"],
  ] as const;
  const text = parts.filter(([number]) => number > 0).map(([number, what]) => `${number.toLocaleString("en")} ${what}`);
  return text.length === 0 ? "no rows" : `rows: ${text.join(", ")}`;
}

/** git names its own stages in between, which say less. */
export const PHASES: Record<string, string> = { push: "Publishing", fetch: "Fetching" };

/** What each reason means, and what to do. */
export const REASONS: Record<string, { title: string; text: string }> = {
  guard: { title: "A question about deletions", text: "So much vanished from this machine at once that it may be an accident. Did you delete it? Nothing is deleted elsewhere until you say so." },
  identity: { title: "Two machines use one identity", text: "This machine's state was copied from another one, or restored from a backup. Nothing is published from here until you say which; either answer keeps everything." },
  secret: { title: "Held back because of a secret", text: "What looks like a key or a password is in these turns; they and what follows them stay on this machine. `opencode-sidecar secrets` shows where, and lets you allow it or have it taken out." },
  conflict: { title: "Settings changed on two machines", text: "Each was changed in a different way. Choose; the next sync takes the choice to your other machines." },
  config: { title: "Configuration that does not travel", text: "These files stay on this machine until what is said of them is mended." },
  diverged: { title: "Continued on two machines", text: "Both machines wrote to these sessions. All turns are kept, in time order; nothing needs doing." },
  unplaced: { title: "Project not on this machine", text: "Open the project in opencode once; its sessions then come in by themselves." },
  quarantined: { title: "Could not be read here", text: "A newer opencode may be needed, or the file is damaged: update opencode, or repair on the machine that wrote it." },
  future: { title: "Dated after this machine's clock", text: "Check the clocks of both machines; these come in by themselves when their time has come." },
  parentMissing: { title: "Waiting for what they belong to", text: "What these belong to has not arrived yet; the next sync of the other machine brings it." },
  busy: { title: "Being written right now", text: "These come in when the turn that runs here is over." },
};
export const REASON_ORDER = ["guard", "identity", "secret", "conflict", "quarantined", "future", "unplaced", "parentMissing", "config", "diverged", "busy"];
/** Reasons that want a person; the others go away by themselves. */
export const URGENT = new Set(["guard", "identity", "secret", "conflict", "quarantined", "future", "unplaced"]);
