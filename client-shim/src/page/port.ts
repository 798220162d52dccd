import type { ErrorKind, QuestionParams, Requests } from "../generated/protocol.js";

/**
 * Methods that the panel calls; a bridge need not let more through. The last three are the bridge's own: what waits for an answer, an
 * answer, and to cancel what was given this `workDoneToken`.
 */
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
  "sidecar/questions",
  "sidecar/answer",
  "window/workDoneProgress/cancel",
] as const;
export type PanelMethod = (typeof PANEL_METHODS)[number];

/** What the panel listens to: the sidecar's notifications, `sidecar/gone` when its process ended by itself, and a question came or went. */
export const PANEL_EVENTS = ["$/progress", "sync/didChangeStatus", "sync/didApply", "sidecar/gone", "sidecar/didChangeQuestions"] as const;
export type PanelEvent = (typeof PANEL_EVENTS)[number];

/** A question that nobody has answered yet. `kind`, `message` and `actions` are the sidecar's. */
export interface PanelQuestion extends QuestionParams {
  id: string;
}

export interface PanelParams extends Pick<Requests, PanelMethod & keyof Requests> {
  "sidecar/questions": { params: Record<string, never>; result: PanelQuestion[] };
  /** `answered` is false when it has settled meanwhile. */
  "sidecar/answer": { params: { id: string; title: string }; result: { answered: boolean } };
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
