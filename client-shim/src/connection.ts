import type { Readable, Writable } from "node:stream";
// `vscode-jsonrpc/node` without extension: the only spelling that Node and Bun both resolve.
import {
  CancellationTokenSource,
  createMessageConnection,
  type MessageConnection,
  ParameterStructures,
  ProgressType,
  ResponseError,
  StreamMessageReader,
  StreamMessageWriter,
} from "vscode-jsonrpc/node";
import { abortError, SidecarError } from "./errors.js";
import { type ErrorData, ErrorCodes, type Notifications, type Requests } from "./generated/protocol.js";

export interface ProgressBegin {
  kind: "begin";
  title: string;
  cancellable?: boolean;
  percentage?: number;
}

/** `percentage` is that of the phase, where its total is known. */
export interface ProgressReport {
  kind: "report";
  message?: string;
  percentage?: number;
  phase: string;
  done: number;
  total: number | null;
  bytes: number;
}

export interface ProgressEnd {
  kind: "end";
  message?: string;
}

export type Progress = ProgressBegin | ProgressReport | ProgressEnd;

export interface CallOptions {
  /** Aborting it cancels the call; it rejects with an `AbortError` once the sidecar has stopped the work. */
  signal?: AbortSignal;
  onProgress?: (progress: Progress) => void;
}

const progressType = new ProgressType<Progress>();
let lastToken = 0;

/** The protocol over a pair of streams. */
export class Connection {
  readonly #connection: MessageConnection;
  /** Settles the calls that the library forgets: those of a connection that is gone. */
  readonly #pending = new Set<(reason: Error) => void>();
  #gone: Error | undefined;

  /** After `onError` the stream is lost, and with it every answer that may still come. */
  constructor(output: Readable, input: Writable, events: { onError: (reason: Error) => void; onEnd: () => void }) {
    this.#connection = createMessageConnection(new StreamMessageReader(output), new StreamMessageWriter(input));
    this.#connection.onError(([error]) => events.onError(error));
    this.#connection.onClose(events.onEnd);
    this.#connection.listen();
  }

  async call<M extends keyof Requests>(method: M, params: Requests[M]["params"], options: CallOptions = {}): Promise<Requests[M]["result"]> {
    const { signal, onProgress } = options;
    if (this.#gone !== undefined) throw this.#gone;
    if (signal?.aborted) throw abortError();
    const cancel = new CancellationTokenSource();
    const abort = (): void => cancel.cancel();
    signal?.addEventListener("abort", abort, { once: true });
    const token = onProgress === undefined ? undefined : `${process.pid}-${++lastToken}`;
    const progress = onProgress === undefined ? undefined : this.#connection.onProgress(progressType, token as string, onProgress);
    let reject: (reason: Error) => void = () => undefined;
    const gone = new Promise<never>((_, rejectGone) => {
      reject = rejectGone;
    });
    this.#pending.add(reject);
    try {
      // Always one object, by name: everything else arrives as an array or not at all.
      const named = token === undefined ? params : { ...params, workDoneToken: token };
      const answer = this.#connection.sendRequest(method, ParameterStructures.byName, named, cancel.token);
      answer.catch(() => undefined); // whichever of the two settles second must not be "unhandled"
      return (await Promise.race([answer, gone])) as Requests[M]["result"];
    } catch (error) {
      throw this.#translate(error, signal);
    } finally {
      this.#pending.delete(reject);
      signal?.removeEventListener("abort", abort);
      progress?.dispose();
      cancel.dispose();
    }
  }

  async notify(method: "initialized" | "exit"): Promise<void> {
    await this.#connection.sendNotification(method, ParameterStructures.byName, {});
  }

  on<M extends keyof Notifications>(method: M, handler: (params: Notifications[M]["params"]) => void): () => void {
    const registration = this.#connection.onNotification(method, handler);
    return () => registration.dispose();
  }

  /** Rejects what is pending, now and later. */
  close(reason: Error): void {
    if (this.#gone !== undefined) return;
    this.#gone = reason;
    for (const reject of this.#pending) reject(reason);
    this.#connection.dispose();
  }

  #translate(error: unknown, signal: AbortSignal | undefined): unknown {
    if (this.#gone !== undefined) return this.#gone;
    if (!(error instanceof ResponseError)) return error;
    if (error.code === ErrorCodes.cancelled && signal?.aborted) return abortError();
    return new SidecarError(error.code, error.message, (error.data ?? {}) as Partial<ErrorData>);
  }
}
