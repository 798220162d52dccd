import type { Readable } from "node:stream";
import { AbstractMessageReader, type DataCallback, type Disposable, type Message, type MessageReader } from "vscode-jsonrpc/node";

const MAX_HEADER_BYTES = 8192;
const MAX_BODY_BYTES = 1 << 30;
const END_OF_HEADER = "\r\n\r\n";
/** What a header of ours begins with; anything else is a program that does not speak the protocol. */
const BEGIN = "content-";

/** What a binary frame is about: output of a command, as it came. */
export interface Meaning {
  processId: string;
  stream: string;
}

export type OutputHandler = (meaning: Meaning, chunk: Buffer) => void;

/**
 * Reads the frames of the sidecar. Unlike the library's reader it takes bodies of bytes, handed on in pieces as they come and
 * never put together, and it gives up at the first byte that cannot begin a frame instead of waiting for a header that never ends.
 */
export class FrameReader extends AbstractMessageReader implements MessageReader {
  readonly #stream: Readable;
  readonly #onOutput: OutputHandler;
  #header = Buffer.alloc(0);
  #body: Buffer[] = [];
  #missing = -1;
  #meaning: Meaning | undefined;
  #lost = false;

  constructor(stream: Readable, onOutput: OutputHandler) {
    super();
    this.#stream = stream;
    this.#onOutput = onOutput;
  }

  listen(callback: DataCallback): Disposable {
    const onData = (data: Buffer): void => {
      if (this.#lost) return;
      try {
        this.#feed(data, callback);
      } catch (error) {
        this.#lost = true;
        this.fireError(error);
      }
    };
    this.#stream.on("data", onData);
    this.#stream.on("error", (error) => this.fireError(error));
    this.#stream.on("close", () => this.fireClose());
    return { dispose: () => void this.#stream.off("data", onData) };
  }

  #feed(data: Buffer, callback: DataCallback): void {
    let rest = data;
    while (rest.length > 0) {
      if (this.#missing < 0) {
        rest = this.#readHeader(rest);
        if (this.#missing < 0) return;
      }
      const piece = rest.length <= this.#missing ? rest : rest.subarray(0, this.#missing);
      rest = rest.subarray(piece.length);
      this.#missing -= piece.length;
      if (this.#meaning === undefined) this.#body.push(piece);
      else if (piece.length > 0) this.#onOutput(this.#meaning, piece);
      if (this.#missing === 0) this.#finish(callback);
    }
  }

  #finish(callback: DataCallback): void {
    const parts = this.#body;
    this.#missing = -1;
    this.#body = [];
    if (this.#meaning !== undefined) {
      this.#meaning = undefined;
      return;
    }
    const [only] = parts;
    const text = (parts.length === 1 && only !== undefined ? only : Buffer.concat(parts)).toString("utf8");
    let message: Message;
    try {
      message = JSON.parse(text) as Message;
    } catch {
      throw new Error(`it wrote something that is not JSON: ${JSON.stringify(text.slice(0, 200))}`);
    }
    callback(message);
  }

  /** What follows the header; all of it was taken when the header is not complete. */
  #readHeader(data: Buffer): Buffer {
    const known = this.#header.length;
    const header = known === 0 ? data : Buffer.concat([this.#header, data]);
    const begin = header.subarray(0, BEGIN.length).toString("latin1").toLowerCase();
    if (!BEGIN.startsWith(begin)) throw new Error(`it wrote something that is not the protocol: ${JSON.stringify(header.subarray(0, 200).toString("utf8"))}`);
    const end = header.indexOf(END_OF_HEADER);
    if (end > MAX_HEADER_BYTES || (end < 0 && header.length > MAX_HEADER_BYTES)) throw new Error("it wrote a header that does not end");
    if (end < 0) {
      this.#header = Buffer.from(header); // not a view: what it was cut from may be large
      return header.subarray(header.length);
    }
    this.#header = Buffer.alloc(0);
    this.#understand(header.subarray(0, end).toString("latin1"));
    return header.subarray(end + END_OF_HEADER.length);
  }

  #understand(header: string): void {
    const fields = new Map<string, string>();
    for (const line of header.split("\r\n")) {
      const colon = line.indexOf(":");
      if (colon > 0) fields.set(line.slice(0, colon).trim().toLowerCase(), line.slice(colon + 1).trim());
    }
    const length = fields.get("content-length") ?? "";
    if (!/^\d{1,10}$/.test(length) || Number(length) > MAX_BODY_BYTES) throw new Error(`it wrote a header without a usable Content-Length: ${JSON.stringify(header.slice(0, 200))}`);
    this.#missing = Number(length);
    const meaning = fields.get("content-meaning");
    this.#meaning = meaning === undefined ? undefined : (JSON.parse(meaning) as Meaning);
  }
}
