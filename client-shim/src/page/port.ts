import type { ErrorKind, Requests } from "../generated/protocol.js";

/** Methods that the panel calls; a bridge need not let more through. The last one cancels what was given this `workDoneToken`. */
export const PANEL_METHODS = [
  "sync/status",
  "sync/init",
  "sync/link",
  "sync/run",
  "sync/preview",
  "sync/history",
  "sync/restore",
  "sync/doctor",
  "sync/resolve",
  "window/workDoneProgress/cancel",
] as const;
export type PanelMethod = (typeof PANEL_METHODS)[number];

/** What the panel listens to: the sidecar's notifications, and `sidecar/gone` when its process ended by itself. */
export const PANEL_EVENTS = ["$/progress", "sync/didChangeStatus", "sync/didApply", "sidecar/gone"] as const;
export type PanelEvent = (typeof PANEL_EVENTS)[number];

export interface PanelParams extends Pick<Requests, Exclude<PanelMethod, "window/workDoneProgress/cancel">> {
  "window/workDoneProgress/cancel": { params: { token: string | number }; result: null };
}

/** An error as plain data, so that it survives IPC, which keeps nothing of an `Error` but its message. */
export interface PanelError {
  /** One of the protocol's kinds; `gone` when the process ended, `notFound` when there is none, `bridge` when the app could not be asked. */
  kind: ErrorKind | "gone" | "notFound" | "bridge";
  message: string;
  detail?: string;
  remedy?: string;
  retryable?: boolean;
}

export type Answer = { result: unknown } | { error: PanelError };

/** All that the panel needs of the app it is in. Both sides carry plain data: IPC, postMessage, fetch and WebSockets will do. */
export interface PanelHost {
  /** Rejects when the app could not be asked; what the sidecar refused is an answer. */
  call(method: PanelMethod, params: object): Promise<Answer>;
  /** Returns what ends it. */
  on(event: PanelEvent, listener: (params: unknown) => void): (() => void) | void;
}
