export type { CallOptions, Progress, ProgressBegin, ProgressEnd, ProgressReport } from "./connection.js";
export { SidecarError, SidecarGoneError } from "./errors.js";
export * from "./generated/protocol.js";
export { type Command, locate, SidecarNotFoundError } from "./locate.js";
export type { Meaning, OutputHandler } from "./frames.js";
export { type Method, Sidecar, type SidecarOptions } from "./sidecar.js";
export { createShell, sidecarRunner } from "./rpc-runner.js";
export { type CommandRunner, type CreateShellOptions, type RootShell, type RunningCommand, type Shell, ShellError, ShellOutput, ShellPromise, type SpawnCommand } from "./shell/index.js";
