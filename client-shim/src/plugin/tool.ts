import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import type { CycleResult, HistoryCycle, PreviewResult, StatusResult } from "../generated/protocol.js";
import type { CallOptions } from "../connection.js";
import type { SyncHost } from "./host.js";
import { updating } from "./line.js";
import type { CommandConfig } from "./opencode.js";

const ACTIONS = ["status", "run", "pull", "push", "preview", "verify", "history", "restore", "doctor", "resolve", "enable-secrets", "page", "init", "link"] as const;
const CHOICES = ["mine", "theirs", "both"] as const;
const TITLES_SHOWN = 3;
const PROGRESS_EVERY_MS = 300;
type Action = (typeof ACTIONS)[number];

const DESCRIPTIONS: Record<Action, string> = {
  status: "Show devices, counts, and what waits for you",
  run: "Sync now: publish, fetch, merge, apply",
  pull: "Take what other machines published",
  push: "Publish what was written here",
  preview: "Show what a sync would do; change nothing",
  verify: "Compare the whole database with what was recorded",
  history: "List past syncs and what they changed here",
  restore: "Take back what a sync changed or deleted here: /sync-restore CYCLE [SESSION]",
  doctor: "Check everything that sync depends on",
  resolve: "List configuration that two machines changed differently, or settle it: /sync-resolve [CONFLICT mine|theirs|both]",
  "enable-secrets": "Sync opencode's credentials (auth.json) as well, from this machine on",
  page: "Open a page with devices, sessions, history with undo, and health",
  init: "Make a vault in an empty git repository: /sync-init URL",
  link: "Join the vault of another machine: /sync-link URL KEYFILE",
};

let made: object | undefined;

/** zod takes longer to load than everything else together: only when opencode asks what the tool takes. */
function parameters(): object {
  if (made === undefined) {
    const { z } = createRequire(import.meta.url)("zod") as typeof import("zod");
    made = {
      action: z.enum(ACTIONS).describe("what to do"),
      remote: z.string().optional().describe("git URL or folder; for init and link"),
      github: z.string().optional().describe("instead of remote: NAME or OWNER/NAME of a private repository on GitHub, made by init with the user's gh, or found by link"),
      keyFile: z.string().optional().describe("for link: path of a file that holds the vault's recovery key; never ask for the key itself"),
      cycle: z.string().optional().describe("for restore: the cycle's id, as history shows it"),
      session: z.string().optional().describe("for restore: only this session's id"),
      conflict: z.string().optional().describe("for resolve: the conflict, as resolve lists it; without one they are listed"),
      choice: z.enum(CHOICES).optional().describe("for resolve: what the user chose"),
      acknowledgePrivate: z.boolean().optional().describe("true only when the user said that strangers cannot read the remote"),
    };
  }
  return made;
}

interface Arguments {
  action: Action;
  remote?: string | undefined;
  github?: string | undefined;
  keyFile?: string | undefined;
  cycle?: string | undefined;
  session?: string | undefined;
  conflict?: string | undefined;
  choice?: (typeof CHOICES)[number] | undefined;
  acknowledgePrivate?: boolean | undefined;
}

/** `metadata` changes the line that opencode shows while the tool runs, on Desktop, too. */
interface ToolContext {
  abort?: AbortSignal;
  metadata?(value: { title?: string }): void;
}

/** The tool `opencode_sync`. Trouble is its answer, not an exception. */
export function syncTool(host: SyncHost): unknown {
  return {
    description: "Sync opencode's sessions between the user's machines. Use it only when the user asks for it.",
    get args() {
      return parameters();
    },
    async execute(given: Arguments, context?: ToolContext): Promise<string> {
      try {
        const onProgress = updating((line) => context?.metadata?.({ title: line }), 0, PROGRESS_EVERY_MS);
        return await answer(host, given, { onProgress, ...(context?.abort && { signal: context.abort }) });
      } catch (error) {
        return error instanceof Error ? `❌ ${error.message} ${"remedy" in error ? String(error.remedy) : ""}`.trim() : String(error);
      }
    },
  };
}

/** The commands `/sync-…`: each asks the model to call the tool and repeat its answer. */
export function syncCommands(): Record<string, CommandConfig> {
  const two = (first: string, second: string): string => `, the first word of "$ARGUMENTS" as ${first} and the second, if there is one, as ${second}`;
  const targets: Partial<Record<Action, string>> = {
    init: ' and remote "$ARGUMENTS"',
    link: two("remote", "keyFile"),
    restore: two("cycle", "session"),
    resolve: two("conflict", "choice"),
  };
  const command = (action: Action): [string, CommandConfig] => {
    const template = `Call the tool opencode_sync with action "${action}"${targets[action] ?? ""}, then repeat its answer word for word.`;
    return [`sync-${action}`, { template, description: DESCRIPTIONS[action] }];
  };
  return Object.fromEntries(ACTIONS.map(command));
}

async function answer(host: SyncHost, given: Arguments, options: CallOptions): Promise<string> {
  const { sidecar } = host;
  const { action, remote, github, keyFile, cycle, session, conflict, choice, acknowledgePrivate } = given;
  switch (action) {
    case "status":
      return describeStatus(await sidecar.call("sync/status", {}, options));
    case "run":
    case "pull":
    case "push":
      return describeCycle(await sidecar.call(`sync/${action}`, {}, options));
    case "preview": {
      const plan = await sidecar.call("sync/preview", {}, options);
      return plan.upToDate ? "✅ Nothing to do." : plan.sessions.map((session) => `${session.change}: ${session.title || session.id}`).join("\n");
    }
    case "verify": {
      const found = await sidecar.call("sync/verify", {}, options);
      return found.ok ? `✅ ${found.rowsCompared} rows compared, no difference.` : `⚠️ ${found.differences.length} differences.`;
    }
    case "history": {
      const { cycles } = await sidecar.call("sync/history", {}, options);
      return cycles.length === 0 ? "Nothing was changed by a sync yet." : cycles.map(describePast).join("\n");
    }
    case "restore": {
      if (!cycle) return "❌ Which cycle? /sync-history lists them: /sync-restore CYCLE [SESSION]";
      const { restored, skipped } = await sidecar.call("sync/restore", { cycle, ...(session ? { session } : {}) }, options);
      return `✅ ${restored.sessions} sessions restored; the next sync takes them to the other machines.${skipped.map((left) => `\nleft alone: ${left.title || left.sessionId}: ${left.detail || left.reason}`).join("")}`;
    }
    case "doctor": {
      const { checks } = await sidecar.call("sync/doctor", {}, options);
      return checks.map((check) => (check.ok ? `✅ ${check.name}: ${check.detail}` : `❌ ${check.name}: ${check.detail} → ${check.remedy}`)).join("\n");
    }
    case "page": // its address, which lets in whoever opens it first, goes to the browser and not to the model
      return (await host.openPage()) ? "✅ Opened in your browser." : "❌ No browser could be opened here. The same is in the other /sync- commands, and in `opencode-sidecar --help`.";
    case "resolve": {
      if (conflict && !choice) return "❌ Which one shall it be? /sync-resolve CONFLICT mine, theirs or both";
      const { conflicts, settled } = await sidecar.call("sync/resolve", conflict && choice ? { path: conflict, choice } : {}, options);
      const done = settled.map((id) => `✅ Settled: ${id}; the next sync takes it to the other machines.`);
      // Only names: the values may be private, and what a tool answers goes to the model's provider.
      const left = conflicts.map((found) => `⚠️ changed here and elsewhere: ${found.id}`);
      const hint = left.length > 0 ? ["/sync-resolve CONFLICT mine|theirs|both; `opencode-sidecar resolve` in a terminal shows both values."] : [];
      return [...done, ...left, ...hint].join("\n") || "✅ No conflicts.";
    }
    case "enable-secrets": {
      const { settings } = await sidecar.call("sync/enableSecrets", { acknowledgePrivate: acknowledgePrivate ?? false }, options);
      return settings["includeSecrets"] === true ? "✅ opencode's credentials are synced from the next cycle on; `opencode-sidecar config includeSecrets false` ends that." : "❌ Nothing was changed.";
    }
    case "init":
    case "link": {
      const params = { ...(remote ? { remote } : github ? { github } : {}), acknowledgePrivate: acknowledgePrivate ?? false };
      if (action === "link" && !remote && !github) return "❌ Which remote? /sync-link URL";
      // What a tool answers goes to the model's provider: the key is never in it, nor in what the model passes on.
      const key = keyFile === undefined ? undefined : (await readFile(keyFile, "utf8")).trim();
      const made =
        action === "init"
          ? await sidecar.call("sync/init", params, options)
          : await sidecar.call("sync/link", { ...params, ...(key === undefined ? {} : { key }) }, options);
      const next = host.resume() ? "syncing begins." : "/sync-run syncs.";
      const hint = action === "init" ? " Run `opencode-sidecar show-key` in a terminal and write the recovery key down: the other machine needs it, and without it nobody can read the vault." : "";
      return `🔗 Part of the vault ${made.vaultId} at ${made.remote}; ${next}${hint}${"preview" in made ? describeFiles(made.preview) : ""}`;
    }
  }
}

/** What the first sync will do to configuration here. Names only: what a tool answers goes to the model's provider. */
function describeFiles({ files }: PreviewResult): string {
  const lines = files.filter((file) => ["in", "both", "deleteIn", "conflict"].includes(file.change)).map((file) => `\n${file.change}: ${file.path}${file.executable ? " ⚠️ opencode could run it" : ""}`);
  return lines.length === 0 ? "" : `\nConfiguration here that the first sync touches (conflicts change nothing; /sync-restore brings back the rest):${lines.join("")}`;
}

function describePast(cycle: HistoryCycle): string {
  const titles = cycle.sessions.map((session) => session.title || session.id);
  const shown = titles.slice(0, TITLES_SHOWN).join(", ") + (titles.length > TITLES_SHOWN ? `, and ${titles.length - TITLES_SHOWN} more` : "");
  return `${cycle.cycleId} ${new Date(cycle.at).toISOString().slice(0, 16).replace("T", " ")} ${cycle.kind}: ${shown || `${cycle.published.sessions} sessions out`}`;
}

function describeCycle(result: CycleResult): string {
  const notices = result.notices.map((notice) => `\n🔑 ${notice}`).join("");
  if (result.upToDate) return `✅ Up to date.${notices}`;
  const waiting = result.held + result.unplaced + result.quarantined + result.guarded + result.secrets;
  return `✅ ${result.applied.sessions} sessions in, ${result.published.sessions} out${waiting > 0 ? `; ${waiting} wait, see /sync-status` : ""}.${notices}`;
}

function describeStatus(status: StatusResult): string {
  if (!status.configured) return "This machine is not part of a vault yet: /sync-init URL makes one, /sync-link URL joins one.";
  const devices = status.devices.map((device) => `${device.name}${device.thisDevice ? " (this machine)" : device.behind > 0 ? `, ${device.behind} behind` : ""}`);
  const attention = status.attention.map((item) => `${item.reason}: ${item.title || item.sessionId} ${item.detail}`.trim());
  return [`Vault at ${status.remote}: ${status.sessions} sessions, ${status.rows} rows.`, `Devices: ${devices.join("; ")}.`, ...attention].join("\n");
}
