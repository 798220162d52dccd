/** One external command. */
export interface SpawnCommand {
  argv: string[];
  cwd: string;
  env: Record<string, string>;
  /** Null: the command reads end of file at once. */
  stdin: AsyncIterable<Uint8Array> | null;
  signal?: AbortSignal;
}

export interface RunningCommand {
  stdout: AsyncIterable<Uint8Array>;
  stderr: AsyncIterable<Uint8Array>;
  exited: Promise<{ exitCode: number | null; signal: string | null }>;
  kill(signal?: string): void;
}

/** Starts external commands; everything else the shell does itself. */
export interface CommandRunner {
  spawn(command: SpawnCommand): RunningCommand;
  /** The file that a name stands for, or null. A name with a slash is looked up in `cwd`. */
  which(name: string, env: Record<string, string>, cwd: string): Promise<string | null>;
}
