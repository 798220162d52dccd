export type { CallOptions, Progress, ProgressBegin, ProgressEnd, ProgressReport } from "./connection.js";
export { SidecarError, SidecarGoneError } from "./errors.js";
export * from "./generated/protocol.js";
export { type Command, locate, SidecarNotFoundError } from "./locate.js";
export { type Method, Sidecar, type SidecarOptions } from "./sidecar.js";
