import { SyncHost, type PluginOptions } from "./host.js";
import type { Hooks, PluginInput } from "./opencode.js";
import { syncCommands, syncTool } from "./tool.js";

export type { PluginOptions } from "./host.js";

/** One host per process: opencode calls a plugin once for each directory, and may load this module more than once. */
const KEY = Symbol.for("opencode-sidecar.host");
const CHANGES = new Set(["session.idle", "session.deleted", "message.removed"]);

/** The opencode plugin: name this file in `plugin` in opencode.json. */
export default async function opencodeSidecar(input: PluginInput, options: PluginOptions = {}): Promise<Hooks> {
  const shared = globalThis as { [KEY]?: SyncHost | undefined };
  const host = (shared[KEY] ??= new SyncHost(options));
  const detach = host.attach(input);
  return {
    async event({ event }) {
      if (CHANGES.has(event.type)) host.changed();
    },
    async config(config) {
      config.command = { ...syncCommands(), ...config.command }; // what the user defined wins
    },
    tool: { opencode_sync: syncTool(host) },
    async dispose() {
      if (!detach()) return;
      shared[KEY] = undefined;
      await host.finish();
    },
  };
}
