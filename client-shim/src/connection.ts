import type { Readable, Writable } from "node:stream";
// `vscode-jsonrpc/node` without extension: the only spelling that Node and Bun both resolve.
import {
  type CancellationToken,
  CancellationTokenSource,
  createMessageConnection,
  type MessageConnection,
  ParameterStructures,
  ProgressType,
  ResponseError,
  StreamMessageWriter,
} from "vscode-jsonrpc/node";
import { abortError, SidecarError } from "./errors.js";
import { FrameReader, type OutputHandler } from "./frames.js";
import { type ErrorData, ErrorCodes, type MessageAction, type Notifications, type QuestionParams, type Requests, TAKES_NO_TOKEN } from "./generated/protocol.js";

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

/** The library's code for a message that could not be written. */
const NOT_WRITTEN = -32099;
const ENDING_MS = 1_000;
const progressType = new ProgressType<Progress>();
let lastToken = 0;

// biome-ignore lint/suspicious/noExplicitAny: handlers of all methods in one map; `on` has the types
type Handler = (params: any) => void;

/** The protocol over a pair of streams. */
export class Connection {
  readonly #connection: MessageConnection;
  /** Settles the calls that the library forgets: those of a connection that is gone. */
  readonly #pending = new Set<(reason: Error) => void>();
  readonly #handlers = new Map<string, Set<Handler>>();
  readonly #outputs: OutputHandler[] = [];
  /** Ends questions that nobody has answered. */
  readonly #asked = new Set<() => void>();
  #gone: Error | undefined;

  /** After `onError` the stream is lost, and with it every answer that may still come. */
  constructor(output: Readable, input: Writable, events: { onError: (reason: Error) => void; onEnd: () => void }) {
    this.#connection = createMessageConnection(new FrameReader(output, (meaning, chunk) => this.#output(meaning.processId, meaning.stream, chunk)), new StreamMessageWriter(input));
    this.#connection.onError(([error]) => events.onError(error));
    this.#connection.onClose(events.onEnd);
    // For a sidecar that does not send bytes as they are.
    this.#handlers.set("shell/didOutput", new Set([({ processId, stream, data }) => this.#tellOutput(processId, stream, Buffer.from(data, "base64"))]));
    this.#connection.onNotification("shell/didOutput", (params: Notifications["shell/didOutput"]["params"]) => this.#tell("shell/didOutput", params));
    this.#connection.listen();
  }

  async call<M extends keyof Requests>(method: M, params: Requests[M]["params"], options: CallOptions = {}): Promise<Requests[M]["result"]> {
    const { signal, onProgress } = options;
    if (this.#gone !== undefined) throw this.#gone;
    if (signal?.aborted) throw abortError();
    const cancel = new CancellationTokenSource();
    const abort = (): void => cancel.cancel();
    signal?.addEventListener("abort", abort, { once: true });
    const token = onProgress === undefined || TAKES_NO_TOKEN.has(method) ? undefined : `${process.pid}-${++lastToken}`;
    const progress = onProgress === undefined || token === undefined ? undefined : this.#connection.onProgress(progressType, token, onProgress);
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
      // The other side is ending, which is about to be told.
      if (error instanceof ResponseError && error.code === NOT_WRITTEN) await Promise.race([gone.catch(() => undefined), new Promise((resolve) => setTimeout(resolve, ENDING_MS))]);
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
    let handlers = this.#handlers.get(method);
    if (handlers === undefined) {
      handlers = new Set();
      this.#handlers.set(method, handlers);
      // The library keeps one handler for each method; ours may be several.
      this.#connection.onNotification(method, (params: Notifications[M]["params"]) => this.#tell(method, params));
    }
    handlers.add(handler as Handler);
    return () => void handlers.delete(handler as Handler);
  }

  /** Output of started commands, in pieces as they come. */
  onOutput(handler: OutputHandler): void {
    this.#outputs.push(handler);
  }

  /** What the sidecar asks; `withdrawn` is aborted when it does not want to know any more, or is gone. */
  onQuestion(handler: (params: QuestionParams, withdrawn: AbortSignal) => Promise<MessageAction | null>): void {
    this.#connection.onRequest("window/showMessageRequest", async (params: QuestionParams, token: CancellationToken) => {
      const withdrawn = new AbortController();
      const end = (): void => withdrawn.abort();
      const cancelled = token.onCancellationRequested(end);
      this.#asked.add(end);
      try {
        return await handler(params, withdrawn.signal);
      } finally {
        cancelled.dispose();
        this.#asked.delete(end);
      }
    });
  }

  /** Rejects what is pending, now and later. */
  close(reason: Error): void {
    if (this.#gone !== undefined) return;
    this.#gone = reason;
    for (const reject of this.#pending) reject(reason);
    for (const end of this.#asked) end();
    this.#connection.dispose();
  }

  #tell(method: string, params: unknown): void {
    for (const handler of this.#handlers.get(method) ?? []) handler(params as never);
  }

  #tellOutput(processId: string, stream: string, chunk: Buffer): void {
    for (const handler of this.#outputs) handler({ processId, stream }, chunk);
  }

  /** Bytes as they are; whoever listens to the notification gets it none the less. */
  #output(processId: string, stream: string, chunk: Buffer): void {
    if ((this.#handlers.get("shell/didOutput")?.size ?? 0) > 1) this.#tell("shell/didOutput", { processId, stream, data: chunk.toString("base64") });
    else this.#tellOutput(processId, stream, chunk);
  }

  #translate(error: unknown, signal: AbortSignal | undefined): unknown {
    if (this.#gone !== undefined) return this.#gone;
    if (!(error instanceof ResponseError)) return error;
    if (error.code === ErrorCodes.cancelled && signal?.aborted) return abortError();
    return new SidecarError(error.code, error.message, (error.data ?? {}) as Partial<ErrorData>);
  }
}
