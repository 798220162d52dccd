import { ErrorCodes, type ErrorData, type ErrorKind } from "./generated/protocol.js";

/** What the sidecar answered when a call failed. Branch on `kind`, never on the message. */
export class SidecarError extends Error {
  override readonly name: string = "SidecarError";
  readonly code: number;
  readonly kind: ErrorKind;
  readonly detail: string;
  readonly remedy: string;
  readonly retryable: boolean;
  /** What is wrong with the params, each with its path; for the kind `invalidParams`. */
  readonly issues: readonly string[];
  /** Names the entry in the sidecar's log; for the kind `internal`. */
  readonly incidentId: string | undefined;

  constructor(code: number, message: string, data: Partial<ErrorData> = {}) {
    super(message);
    this.code = code;
    this.kind = isErrorKind(data.kind) ? data.kind : kindOf(code);
    this.detail = data.detail ?? "";
    this.remedy = data.remedy ?? "";
    this.retryable = data.retryable ?? false;
    this.issues = data.issues ?? [];
    this.incidentId = data.incidentId ?? undefined;
  }
}

/** The sidecar could not be started, ended, or sent something that is not the protocol. */
export class SidecarGoneError extends Error {
  override readonly name: string = "SidecarGoneError";
  readonly exitCode: number | null;
  readonly signal: string | null;
  /** The last lines that it wrote to stderr. */
  readonly stderr: string;

  constructor(message: string, exitCode: number | null, signal: string | null, stderr: string) {
    super(message);
    this.exitCode = exitCode;
    this.signal = signal;
    this.stderr = stderr;
  }
}

/** What an aborted call rejects with: the name that `AbortSignal` users look for. */
export function abortError(): Error {
  return Object.assign(new Error("The call was aborted."), { name: "AbortError", code: "ABORT_ERR" });
}

function isErrorKind(kind: string | undefined): kind is ErrorKind {
  return kind !== undefined && Object.hasOwn(ErrorCodes, kind);
}

function kindOf(code: number): ErrorKind {
  for (const [kind, known] of Object.entries(ErrorCodes)) {
    if (known === code) return kind as ErrorKind;
  }
  return "internal";
}
