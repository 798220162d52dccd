/** What a script wrote, and its exit code. */
export class ShellOutput {
  readonly stdout: Buffer<ArrayBuffer>;
  readonly stderr: Buffer<ArrayBuffer>;
  readonly exitCode: number;

  constructor(stdout: Buffer<ArrayBuffer>, stderr: Buffer<ArrayBuffer>, exitCode: number) {
    this.stdout = stdout;
    this.stderr = stderr;
    this.exitCode = exitCode;
  }

  text(encoding?: BufferEncoding): string {
    return this.stdout.toString(encoding);
  }

  // The type that callers know says `any`.
  // biome-ignore lint/suspicious/noExplicitAny: see above
  json(): any {
    return JSON.parse(this.stdout.toString());
  }

  arrayBuffer(): ArrayBuffer {
    return this.stdout.buffer;
  }

  bytes(): Uint8Array<ArrayBuffer> {
    return new Uint8Array(this.arrayBuffer());
  }

  blob(): Blob {
    return new Blob([this.stdout]);
  }
}

function toText(this: Buffer): string {
  return this.toString();
}

/** A script ended with a non-zero exit code. */
export class ShellError extends Error {
  #output = new ShellOutput(Buffer.from(new ArrayBuffer(0)), Buffer.from(new ArrayBuffer(0)), 0);
  declare readonly info: { exitCode: number; stderr: Buffer; stdout: Buffer };
  exitCode = 0;
  stdout = this.#output.stdout;
  stderr = this.#output.stderr;

  /** Made before the script runs, so that the stack is that of the caller. */
  constructor() {
    super("");
    Object.defineProperty(this, "name", { value: "ShellError", writable: true, enumerable: true, configurable: true });
  }

  initialize(output: ShellOutput): this {
    const { exitCode, stdout, stderr } = output;
    // The stack was put together with an empty message.
    this.stack = this.stack?.replace(/^[^\n]*/, `ShellError: Failed with exit code ${exitCode}`) ?? "";
    this.message = `Failed with exit code ${exitCode}`;
    this.#output = output;
    // In JSON, as text.
    for (const buffer of [stdout, stderr]) Object.defineProperty(buffer, "toJSON", { value: toText, writable: true, configurable: true });
    Object.defineProperty(this, "info", { value: { exitCode, stderr, stdout }, writable: true, configurable: true });
    this.stdout = stdout;
    this.stderr = stderr;
    this.exitCode = exitCode;
    return this;
  }

  text(encoding?: BufferEncoding): string {
    return this.#output.text(encoding);
  }

  // biome-ignore lint/suspicious/noExplicitAny: as in ShellOutput
  json(): any {
    return this.#output.json();
  }

  arrayBuffer(): ArrayBuffer {
    return this.#output.arrayBuffer();
  }

  bytes(): Uint8Array<ArrayBuffer> {
    return this.#output.bytes();
  }

  blob(): Blob {
    return this.#output.blob();
  }
}
