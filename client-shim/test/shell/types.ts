/** Compiled only: our `$` has the type that plugins are written against. */
import type { PluginInput } from "@opencode-ai/plugin";
import { createShell, nodeRunner } from "../../src/shell/index.js";

export const $: PluginInput["$"] = createShell(nodeRunner);
