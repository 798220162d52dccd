import { h } from "./dom.js";
import type { Operation } from "./model.js";

/** What runs, with a bar and a way to stop it. Its elements stay the same, so that a click on Cancel always hits. */
export class ProgressView {
  readonly element: HTMLElement;
  readonly #title = h("span", { class: "name" });
  readonly #phase = h("span", { class: "soft small" });
  readonly #bar = h("progress", { "aria-label": "Progress" });
  readonly #cancel: HTMLButtonElement;

  constructor(cancel: () => void) {
    this.#cancel = h("button", { type: "button", onclick: cancel }, "Cancel");
    this.element = h("div", { class: "progress", hidden: true }, h("div", { class: "row" }, h("div", { class: "grow" }, this.#title, " ", this.#phase), this.#cancel), this.#bar);
  }

  /** `elsewhere`: something runs that was not asked for here, and cannot be cancelled here. */
  update(operation: Operation | undefined, elsewhere: boolean): void {
    this.element.hidden = operation === undefined && !elsewhere;
    if (this.element.hidden) return;
    this.#title.textContent = operation === undefined ? "Syncing" : operation.cancelling ? "Stopping at the next safe point" : operation.title;
    const { phase = "", done = 0, total = null } = operation ?? {};
    this.#phase.textContent = total !== null && total > 1 ? `${phase}, ${done.toLocaleString("en")} of ${total.toLocaleString("en")}` : phase;
    this.#cancel.hidden = operation === undefined;
    this.#cancel.disabled = operation?.cancelling === true;
    if (total === null || total <= 1) this.#bar.removeAttribute("value");
    else {
      this.#bar.max = total;
      this.#bar.value = done;
    }
  }
}
