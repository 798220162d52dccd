import { h } from "./dom.js";

export interface Tab {
  id: string;
  label: string;
}

/** Tabs as the ARIA practices describe them: one stop for Tab, arrows between them, Home and End. */
export class Tabs {
  readonly bar: HTMLElement;
  readonly body: HTMLElement;
  readonly #buttons = new Map<string, HTMLButtonElement>();
  readonly #selected: (id: string) => void;
  current: string;

  constructor(tabs: readonly Tab[], selected: (id: string) => void) {
    this.#selected = selected;
    this.current = (tabs[0] as Tab).id;
    this.body = h("div", { role: "tabpanel", id: "view", tabindex: 0, class: "stack" });
    this.bar = h("div", { role: "tablist", "aria-label": "Views", onkeydown: (event) => this.#key(event as KeyboardEvent) });
    for (const { id, label } of tabs) {
      const button = h("button", { type: "button", role: "tab", id: `tab-${id}`, "aria-controls": "view", onclick: () => this.select(id) }, label);
      this.#buttons.set(id, button);
      this.bar.append(button);
    }
    this.select(this.current, false);
  }

  select(id: string, tell = true): void {
    this.current = id;
    for (const [key, button] of this.#buttons) {
      button.setAttribute("aria-selected", String(key === id));
      button.tabIndex = key === id ? 0 : -1;
    }
    this.body.setAttribute("aria-labelledby", `tab-${id}`);
    if (tell) this.#selected(id);
  }

  /** A number behind the label, e.g. of what needs the person. */
  badge(id: string, label: string, number: number, urgent: boolean): void {
    const button = this.#buttons.get(id);
    const badge = h("span", { class: urgent ? "tag warn" : "tag" }, number.toLocaleString("en"));
    button?.replaceChildren(label, ...(number > 0 ? [" ", badge] : []));
  }

  #key(event: KeyboardEvent): void {
    const ids = [...this.#buttons.keys()];
    const at = ids.indexOf(this.current);
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: ids.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    const id = ids[(to + ids.length) % ids.length] as string;
    this.select(id);
    this.#buttons.get(id)?.focus();
  }
}
