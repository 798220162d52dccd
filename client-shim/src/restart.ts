import { SidecarGoneError } from "./errors.js";

/** As `vscode-languageclient`: four restarts, the fifth crash within three minutes ends it. */
const MAX_CRASHES = 5;
const WINDOW_MS = 180_000;
const FIRST_DELAY_MS = 100;
const MAX_DELAY_MS = 5_000;
/** What the sidecar ends with when starting it again cannot help. */
const DO_NOT_RESTART = 78;

/** Whether and when a process that ended by itself is started again. */
export class RestartPolicy {
  readonly #now: () => number;
  #crashes: number[] = [];
  #final: SidecarGoneError | undefined;

  constructor(now: () => number = Date.now) {
    this.#now = now;
  }

  crashed(error: SidecarGoneError): void {
    const now = this.#now();
    this.#crashes = [...this.#crashes.filter((at) => now - at < WINDOW_MS), now];
    if (error.exitCode === DO_NOT_RESTART) this.#final = error;
    if (this.#crashes.length >= MAX_CRASHES) {
      const text = `The sidecar ended ${this.#crashes.length} times within ${WINDOW_MS / 60_000} minutes and is not started again. ${error.message}`;
      this.#final = new SidecarGoneError(text, error.exitCode, error.signal, error.stderr);
    }
  }

  /** The reason not to start again, if there is one. A crash loop is forgiven after three quiet minutes. */
  refusal(): SidecarGoneError | undefined {
    const quiet = this.#now() - (this.#crashes.at(-1) ?? 0) >= WINDOW_MS;
    if (quiet && this.#final?.exitCode !== DO_NOT_RESTART) this.#final = undefined;
    return this.#final;
  }

  /** Milliseconds to wait before the next start. */
  delay(): number {
    const recent = this.#crashes.filter((at) => this.#now() - at < WINDOW_MS).length;
    return recent === 0 ? 0 : Math.min(MAX_DELAY_MS, FIRST_DELAY_MS * 2 ** (recent - 1));
  }
}
