import { spawn } from "node:child_process";
import { type NotifyCommand, notifyCommand } from "./commands.js";

const TITLE = "opencode sync";
const MAX_BODY = 300;
const TIMEOUT_MS = 10_000;
/** Waiting behind the one that is being shown; of more, the oldest are dropped. */
const MAX_WAITING = 3;

export interface NotifierOptions {
  platform?: NodeJS.Platform;
  env?: NodeJS.ProcessEnv;
}

/** Notifications of the operating system, one at a time. Nothing here ever throws: where none can be shown, none are. */
export class Notifier {
  readonly #platform: NodeJS.Platform;
  readonly #env: NodeJS.ProcessEnv;
  readonly #waiting: string[] = [];
  #showing: Promise<void> | undefined;
  #impossible = false;

  constructor({ platform = process.platform, env = process.env }: NotifierOptions = {}) {
    this.#platform = platform;
    this.#env = env;
  }

  show(message: string): void {
    if (this.#impossible) return;
    this.#waiting.push(message);
    if (this.#waiting.length > MAX_WAITING) this.#waiting.shift();
    this.#showing ??= this.#work().finally(() => (this.#showing = undefined));
  }

  /** Resolves when all that was asked for has been handed over. */
  async idle(): Promise<void> {
    await this.#showing;
  }

  async #work(): Promise<void> {
    for (let next = this.#waiting.shift(); next !== undefined; next = this.#waiting.shift()) {
      const command = notifyCommand({ title: TITLE, body: tidy(next) }, this.#platform, this.#env);
      if (command === undefined || !(await run(command, this.#env))) {
        this.#impossible = true; // there is no such program here; it will not appear while opencode runs
        this.#waiting.length = 0;
      }
    }
  }
}

/** Without characters that end or turn a line, and not longer than anything shows. */
function tidy(message: string): string {
  const text = message.replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g, "").trim();
  const points = [...text];
  return points.length <= MAX_BODY ? text : `${points.slice(0, MAX_BODY - 1).join("")}…`;
}

/** Resolves to whether there is such a program. No shell is involved. */
function run({ program, args, env }: NotifyCommand, base: NodeJS.ProcessEnv): Promise<boolean> {
  return new Promise((resolve) => {
    try {
      const child = spawn(program, args, { stdio: "ignore", windowsHide: true, env: { ...base, ...env } });
      const late = setTimeout(() => child.kill("SIGKILL"), TIMEOUT_MS);
      const end = (exists: boolean): void => {
        clearTimeout(late);
        resolve(exists);
      };
      late.unref(); // neither holds opencode up when it ends
      child.unref();
      child.once("error", () => end(false));
      child.once("close", () => end(true));
    } catch {
      resolve(false); // an environment that cannot be passed on
    }
  });
}
