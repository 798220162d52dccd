import { append } from "./append.js";
import type { RedirectObject, SourceUnit } from "./lexer.js";

/** Join the strings of a template and its values; the values stay apart from the syntax. */
export function templateSource(strings: readonly string[], values: readonly unknown[]): SourceUnit[] {
  const source: SourceUnit[] = [];
  for (const [index, text] of strings.entries()) {
    append(source, wellFormed(text));
    if (index === strings.length - 1) break;
    if (index >= values.length) throw new Error("Shell script is missing JSValue arg");
    appendValue(source, values[index]);
  }
  return source;
}

function appendValue(source: SourceUnit[], value: unknown): void {
  if (isRedirectObject(value)) {
    const path = pathOfBunFile(value);
    source.push(path === null ? { kind: "object", value } : { kind: "string", text: path });
  } else if (Array.isArray(value)) {
    for (const [index, item] of value.entries()) {
      if (index > 0) source.push(" ");
      appendValue(source, item);
    }
  } else if (isRaw(value)) {
    append(source, wellFormed(`${value.raw}`));
  } else if (isStringifiable(value)) {
    source.push({ kind: "string", text: argumentText(value) });
  } else {
    throw new Error(`Invalid JS object used in shell: ${Object.prototype.toString.call(value)}, you might need to call \`.toString()\` on it`);
  }
}

function isRedirectObject(value: unknown): value is RedirectObject {
  return (
    value instanceof ArrayBuffer ||
    ArrayBuffer.isView(value) ||
    value instanceof Blob ||
    value instanceof Response ||
    value instanceof ReadableStream ||
    (typeof SharedArrayBuffer !== "undefined" && value instanceof SharedArrayBuffer)
  );
}

/** Under Bun, `Bun.file(path)` is a Blob that stands for its path. */
function pathOfBunFile(value: RedirectObject): string | null {
  if (!(value instanceof Blob) || isFile(value)) return null;
  const file = value as Blob & { name?: unknown; exists?: unknown };
  return typeof file.exists === "function" && typeof file.name === "string" ? file.name : null;
}

/** `File` is global only from Node 20 on, and not in every embedder. */
function isFile(value: Blob): boolean {
  return typeof File !== "undefined" && value instanceof File;
}

function isRaw(value: unknown): value is { raw: unknown } {
  if (typeof value !== "object" || value === null || !Object.hasOwn(value, "raw")) return false;
  const { raw } = value as { raw: unknown };
  // Bun reads the property when it is truthy; an empty text is nothing to parse either.
  return Boolean(raw) || raw === "";
}

function isStringifiable(value: unknown): boolean {
  if ((typeof value !== "object" && typeof value !== "function") || value === null) return true;
  const { toString } = value as { toString?: unknown };
  return typeof toString === "function" && toString !== Object.prototype.toString;
}

function argumentText(value: unknown): string {
  if (typeof value === "symbol") throw new TypeError("Cannot convert a symbol to a string");
  const text = wellFormed(String(value));
  if (text.includes("\0")) {
    throw Object.assign(new TypeError(`The shell argument must be a string without null bytes. Received "${text}"`), { code: "ERR_INVALID_ARG_VALUE" });
  }
  return text;
}

function wellFormed(text: string): string {
  // A lone surrogate has no UTF-8 and could not reach a command.
  if (/\p{Surrogate}/u.test(text)) throw new Error("Shell script string contains invalid UTF-16");
  return text;
}
