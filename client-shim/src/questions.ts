import type { MessageAction, QuestionParams } from "./generated/protocol.js";

/** What the sidecar wants to know of a person. `signal` is aborted when it has settled: answered, withdrawn, or the sidecar has ended. */
export interface Question extends QuestionParams {
  readonly signal: AbortSignal;
}

/** The chosen one of `question.actions`, or null for "not now". It may take as long as it likes: nothing waits for it. */
export type QuestionHandler = (question: Question) => MessageAction | null | Promise<MessageAction | null>;

interface Open {
  question: Question;
  /** Who has not decided yet. */
  deciding: Set<QuestionHandler>;
  settle(action: MessageAction | null): void;
}

/** Puts a question to every handler; the first answer counts. Null goes back when none of them has one. */
export class Questions {
  readonly #handlers = new Set<QuestionHandler>();
  readonly #open = new Set<Open>();

  get wanted(): boolean {
    return this.#handlers.size > 0;
  }

  /** What is open is put to it as well. Returns what takes it away. */
  add(handler: QuestionHandler): () => void {
    this.#handlers.add(handler);
    for (const open of this.#open) this.#put(open, handler);
    return () => {
      this.#handlers.delete(handler);
      for (const open of this.#open) this.#decided(open, handler, null);
    };
  }

  /** Never rejects. `withdrawn`: the sidecar does not want to know any more, or is gone. */
  ask(params: QuestionParams, withdrawn: AbortSignal): Promise<MessageAction | null> {
    if (withdrawn.aborted || !this.wanted) return Promise.resolve(null);
    return new Promise((resolve) => {
      const settled = new AbortController();
      const settle = (action: MessageAction | null): void => {
        if (!this.#open.delete(open)) return;
        withdrawn.removeEventListener("abort", withdraw);
        resolve(action);
        settled.abort();
      };
      const withdraw = (): void => settle(null);
      const open: Open = { question: { ...params, signal: settled.signal }, deciding: new Set(), settle };
      this.#open.add(open);
      withdrawn.addEventListener("abort", withdraw, { once: true });
      for (const handler of this.#handlers) this.#put(open, handler);
    });
  }

  #put(open: Open, handler: QuestionHandler): void {
    open.deciding.add(handler);
    const decided = (action: MessageAction | null): void => this.#decided(open, handler, action);
    const asked = Promise.resolve(open.question).then((question) => (question.signal.aborted ? null : handler(question)));
    void asked.then(decided, () => decided(null));
  }

  #decided(open: Open, handler: QuestionHandler, action: MessageAction | null | undefined): void {
    if (!open.deciding.delete(handler)) return;
    const chosen = open.question.actions.find((one) => one.title === action?.title);
    if (chosen !== undefined || open.deciding.size === 0) open.settle(chosen ?? null);
  }
}
