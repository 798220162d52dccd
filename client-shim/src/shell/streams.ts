import type { FileHandle } from "node:fs/promises";

const PIPE_CAPACITY = 65_536;

/** Where output goes. `write` resolves to false when nobody will ever read it. */
export interface ByteSink {
  write(chunk: Uint8Array): Promise<boolean> | boolean;
}

/** Where input comes from; null is an empty input. */
export type ByteSource = AsyncIterable<Uint8Array> | null;

/** Keeps what is written. */
export class Collector implements ByteSink {
  readonly #chunks: Uint8Array[] = [];

  write(chunk: Uint8Array): boolean {
    this.#chunks.push(chunk);
    return true;
  }

  /** The bytes, in memory of their own: `.buffer` holds nothing else, unlike that of a pooled `Buffer`. */
  bytes(): Buffer<ArrayBuffer> {
    const length = this.#chunks.reduce((sum, chunk) => sum + chunk.byteLength, 0);
    const bytes = Buffer.allocUnsafeSlow(length) as Buffer<ArrayBuffer>; // all of it is written, so that it need not be cleared
    let offset = 0;
    for (const chunk of this.#chunks) {
      bytes.set(chunk, offset);
      offset += chunk.byteLength;
    }
    return bytes;
  }

  text(): string {
    return this.bytes().toString();
  }
}

/** Writes to several sinks; only the first one's readers count. */
export class Tee implements ByteSink {
  readonly #main: ByteSink;
  readonly #copy: (chunk: Uint8Array) => void;

  constructor(main: ByteSink, copy: (chunk: Uint8Array) => void) {
    this.#main = main;
    this.#copy = copy;
  }

  write(chunk: Uint8Array): Promise<boolean> | boolean {
    this.#copy(chunk);
    return this.#main.write(chunk);
  }
}

/** Appends to an open file. */
export class FileSink implements ByteSink {
  readonly #file: FileHandle;

  constructor(file: FileHandle) {
    this.#file = file;
  }

  async write(chunk: Uint8Array): Promise<boolean> {
    let offset = 0;
    while (offset < chunk.byteLength) offset += (await this.#file.write(chunk, offset)).bytesWritten;
    return true;
  }
}

/** Fills a caller's memory; what does not fit is dropped. */
export class MemorySink implements ByteSink {
  readonly #memory: Uint8Array;
  #offset = 0;

  constructor(memory: Uint8Array) {
    this.#memory = memory;
  }

  write(chunk: Uint8Array): boolean {
    const fitting = chunk.subarray(0, this.#memory.byteLength - this.#offset);
    this.#memory.set(fitting, this.#offset);
    this.#offset += fitting.byteLength;
    return true;
  }
}

/** A pipe between two commands: bounded, so that a fast writer waits for a slow reader. */
export class Pipe implements ByteSink, AsyncIterable<Uint8Array> {
  readonly #queue: Uint8Array[] = [];
  #queued = 0;
  #ended = false;
  #cancelled = false;
  #wakeReader: (() => void) | undefined;
  #wakeWriters: Array<() => void> = [];

  async write(chunk: Uint8Array): Promise<boolean> {
    while (this.#queued >= PIPE_CAPACITY && !this.#cancelled) {
      await new Promise<void>((resolve) => this.#wakeWriters.push(resolve));
    }
    if (this.#cancelled) return false;
    if (chunk.byteLength > 0) {
      this.#queue.push(chunk);
      this.#queued += chunk.byteLength;
      this.#wakeReader?.();
    }
    return true;
  }

  /** The writer is done. */
  end(): void {
    this.#ended = true;
    this.#wakeReader?.();
  }

  /** The reader is gone: writers learn of it, as from EPIPE. */
  cancel(): void {
    this.#cancelled = true;
    this.#queue.length = 0;
    this.#wake();
    this.#wakeReader?.();
  }

  /**
   * Several commands may read in turn (`a | (b; c)`), so that the end of one reader does not close the pipe;
   * the stage that owns the pipe calls `cancel`.
   */
  [Symbol.asyncIterator](): AsyncIterator<Uint8Array> {
    return {
      next: async () => {
        while (this.#queue.length === 0 && !this.#ended && !this.#cancelled) {
          await new Promise<void>((resolve) => (this.#wakeReader = resolve));
          this.#wakeReader = undefined;
        }
        const chunk = this.#queue.shift();
        if (chunk === undefined) return { done: true, value: undefined };
        this.#queued -= chunk.byteLength;
        this.#wake();
        return { done: false, value: chunk };
      },
    };
  }

  #wake(): void {
    const writers = this.#wakeWriters;
    this.#wakeWriters = [];
    for (const wake of writers) wake();
  }
}

/** Bytes that are at hand, as a source. */
export async function* sourceOf(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  if (bytes.byteLength > 0) yield bytes;
}

const encoder = new TextEncoder();

export function encode(text: string): Uint8Array {
  return encoder.encode(text);
}
