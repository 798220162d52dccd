import type { ShellEnvironment } from "../environment.js";
import type { CommandRunner } from "../runner.js";
import type { ByteSource } from "../streams.js";

export interface BuiltinContext {
  readonly name: string;
  readonly args: readonly string[];
  readonly environment: ShellEnvironment;
  /** What an external command would get. */
  readonly env: Record<string, string>;
  readonly runner: CommandRunner;
  readonly signal: AbortSignal | undefined;
  readonly stdin: ByteSource;
  /** Resolves to false when nobody reads the output any more. */
  out(data: string | Uint8Array): Promise<boolean>;
  err(text: string): Promise<void>;
}

/** Runs in this process; resolves to the exit code. */
export type Builtin = (context: BuiltinContext) => Promise<number>;

/** Print a message and fail. */
export async function fail(context: BuiltinContext, message: string, exitCode = 1): Promise<number> {
  await context.err(message);
  return exitCode;
}

/** Split `-abc --long file ...` at the first operand; `--` ends the options. */
export function splitOptions(args: readonly string[]): { options: readonly string[]; operands: readonly string[] } {
  const first = args.findIndex((arg) => arg === "--" || arg === "-" || !arg.startsWith("-"));
  if (first === -1) return { options: args, operands: [] };
  return { options: args.slice(0, first), operands: args.slice(args[first] === "--" ? first + 1 : first) };
}
