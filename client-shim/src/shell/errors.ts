/** The operating system's own words, which Bun prints; libuv's texts are others. */
const MESSAGES: Readonly<Record<string, string>> = {
  E2BIG: "Argument list too long",
  EACCES: "Permission denied",
  EBADF: "Bad file descriptor",
  EBUSY: "Device or resource busy",
  EEXIST: "File exists",
  EFBIG: "File too large",
  EINVAL: "Invalid argument",
  EIO: "Input/output error",
  EISDIR: "Is a directory",
  ELOOP: "Too many levels of symbolic links",
  EMFILE: "Too many open files",
  ENAMETOOLONG: "File name too long",
  ENOENT: "No such file or directory",
  ENOSPC: "No space left on device",
  ENOTDIR: "Not a directory",
  ENOTEMPTY: "Directory not empty",
  EPERM: "Operation not permitted",
  EROFS: "Read-only file system",
  ETXTBSY: "Text file busy",
  EXDEV: "Invalid cross-device link",
};

export function errorCode(error: unknown): string | undefined {
  const code: unknown = error instanceof Error && "code" in error ? error.code : undefined;
  return typeof code === "string" ? code : undefined;
}

export function systemMessage(error: unknown): string {
  return MESSAGES[errorCode(error) ?? ""] ?? (error instanceof Error ? error.message : String(error));
}

/** The positive number of the error, as an exit code. */
export function errorNumber(error: unknown): number {
  const number: unknown = error instanceof Error && "errno" in error ? error.errno : undefined;
  return typeof number === "number" ? Math.abs(number) : 1;
}

/** Not the command failed but what runs commands: no exit code says that, so the script rejects with it. */
export function isRunnerGone(error: unknown): boolean {
  return error instanceof Error && error.name === "SidecarGoneError";
}

/** Ends a command with a message, before or instead of running it. */
export class CommandFailure extends Error {
  readonly exitCode: number;

  constructor(message: string, exitCode = 1) {
    super(message);
    this.exitCode = exitCode;
  }
}
