import type { Builtin } from "./context.js";

const CHUNK = 8192;

export const yes: Builtin = async (context) => {
  const line = `${context.args.length === 0 ? "y" : context.args.join(" ")}\n`;
  const chunk = line.repeat(Math.max(1, Math.floor(CHUNK / line.length)));
  while (await context.out(chunk)) {
    if (context.signal?.aborted === true) return 143;
    // Without a turn of the event loop nothing else, not even an abort, would ever happen.
    await new Promise((resolve) => setImmediate(resolve));
  }
  return 1;
};
