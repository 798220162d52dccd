import { confirm } from "./confirm.js";
import { h, redraw } from "./dom.js";
import { Model, type Notice } from "./model.js";
import type { PanelHost } from "./port.js";
import { ProgressView } from "./progress.js";
import { style } from "./style.js";
import { Tabs } from "./tabs.js";
import { ago, count } from "./text.js";
import { attentionView, waiting } from "./views/attention.js";
import { devicesView } from "./views/devices.js";
import { doctorView } from "./views/doctor.js";
import { type Confirm, historyView } from "./views/history.js";
import { questionsView } from "./views/questions.js";
import { sessionsView } from "./views/sessions.js";
import { keyView, setupView } from "./views/setup.js";

const TABS = [
  { id: "devices", label: "Devices" },
  { id: "sessions", label: "Sessions" },
  { id: "history", label: "History" },
  { id: "attention", label: "Attention" },
  { id: "doctor", label: "Health" },
] as const;
const TICK_MS = 30_000;

/** Where there is no DOM the module can still be imported, e.g. by a renderer on a server. */
const Base: typeof HTMLElement = globalThis.HTMLElement ?? (class {} as typeof HTMLElement);

/**
 * `<opencode-sidecar-panel>`: give it a `host`, and it shows the state of sync and lets the person act on it.
 * The attribute `theme` is `light` or `dark`; without it the system decides.
 */
export class SidecarPanel extends Base {
  #host: PanelHost | undefined;
  #model: Model | undefined;
  #drawn = new Map<HTMLElement, string>();
  #tick: ReturnType<typeof setInterval> | undefined;
  #parts: Parts | undefined;

  get host(): PanelHost | undefined {
    return this.#host;
  }

  set host(host: PanelHost | undefined) {
    this.#host = host;
    if (this.isConnected) this.#begin();
  }

  connectedCallback(): void {
    this.#begin();
    this.#tick = setInterval(() => this.#draw(), TICK_MS);
  }

  disconnectedCallback(): void {
    clearInterval(this.#tick);
    this.#model?.stop();
    this.#model = undefined;
  }

  #begin(): void {
    this.#model?.stop();
    this.#parts ??= this.#build();
    this.#drawn.clear();
    this.#model = this.#host === undefined ? undefined : new Model(this.#host, () => this.#draw());
    this.#draw();
    void this.#model?.refresh();
  }

  #build(): Parts {
    const root = this.attachShadow({ mode: "open" });
    style(root);
    const tabs = new Tabs(TABS, () => this.#draw());
    const parts: Parts = {
      root,
      tabs,
      head: h("header", { class: "row" }),
      notice: h("div", { class: "live", role: "status", "aria-live": "polite" }),
      questions: h("div", { class: "live stack", "aria-live": "polite" }),
      progress: new ProgressView(() => void this.#model?.cancel()),
      spoken: h("div", { class: "hidden-text", role: "status", "aria-live": "polite" }),
      setup: h("div", { class: "stack setup" }),
    };
    const { head, notice, questions, progress, spoken, setup } = parts;
    root.append(h("section", { class: "panel", lang: "en", "aria-label": "Sync between machines" }, head, notice, questions, progress.element, spoken, setup, tabs.bar, tabs.body));
    return parts;
  }

  #draw(): void {
    const model = this.#model;
    const parts = this.#parts;
    if (parts === undefined) return;
    const { tabs } = parts;
    const status = model?.status;
    const busy = model?.operation !== undefined;
    const minute = Math.floor(Date.now() / TICK_MS);
    const ready = status?.configured === true && model?.recoveryKey === undefined;
    tabs.bar.hidden = tabs.body.hidden = !ready;
    parts.progress.update(model?.operation, model?.elsewhere ?? false);
    const spoken = model?.operation === undefined ? "" : model.operation.phase || model.operation.title;
    if (parts.spoken.textContent !== spoken) parts.spoken.textContent = spoken;
    this.#region(parts.head, [status, busy, model?.elsewhere, minute, model?.recoveryKey, model?.notice?.tone], () => head(model));
    this.#region(parts.notice, [model?.notice, model?.notice?.retry === undefined], () => (model?.notice === undefined ? [] : [noticeView(model, model.notice)]));
    const ask: Confirm = (question) => confirm(parts.root, question);
    this.#region(parts.questions, [model?.questions, [...(model?.later ?? [])]], () => (model === undefined ? [] : questionsView(model, ask)));
    this.#region(parts.setup, [status?.configured, model?.recoveryKey, busy], () =>
      model?.recoveryKey !== undefined ? keyView(model, model.recoveryKey) : model !== undefined && status?.configured === false ? setupView(model, busy) : [],
    );
    const { number, urgent } = waiting(status);
    this.#region(tabs.bar, [number, urgent], () => {
      tabs.badge("attention", "Attention", number, urgent);
      return undefined;
    });
    if (model === undefined || status === undefined || !ready) return;
    const views: Record<string, [unknown, () => Node[]]> = {
      devices: [status, () => devicesView(status)],
      sessions: [[model.preview, model.history, busy], () => sessionsView(model, busy)],
      history: [[model.history, busy], () => historyView(model, busy, ask)],
      attention: [[status.attention, status.unsyncedTables, model.conflicts, model.questions, busy], () => attentionView(model, status, busy, ask)],
      doctor: [[model.doctor, busy], () => doctorView(model, busy)],
    };
    const [data, view] = views[tabs.current] as [unknown, () => Node[]];
    this.#region(tabs.body, [tabs.current, minute, data], view);
  }

  /** Draws a part again when what it shows has changed, and only then: what a person is using stays in place. */
  #region(element: HTMLElement, data: unknown, view: () => Node[] | undefined): void {
    const signature = JSON.stringify(data);
    if (this.#drawn.get(element) === signature) return;
    this.#drawn.set(element, signature);
    const nodes = view();
    if (nodes !== undefined) redraw(element, ...nodes);
  }
}

interface Parts {
  root: ShadowRoot;
  tabs: Tabs;
  head: HTMLElement;
  notice: HTMLElement;
  questions: HTMLElement;
  progress: ProgressView;
  spoken: HTMLElement;
  setup: HTMLElement;
}

function head(model: Model | undefined): Node[] {
  const status = model?.status;
  const busy = model?.operation !== undefined;
  const [tone, title, text] = summary(model);
  const words = h("div", {}, h("h2", { class: "title" }, title), text !== "" && h("div", { class: "soft small wrap" }, text));
  const sync = h("button", { type: "button", class: "primary", key: "sync", disabled: busy, onclick: () => void model?.sync() }, "Sync now");
  return [h("div", { class: "state grow" }, h("span", { class: `dot ${tone}`, "aria-hidden": "true" }), words), ...(status?.configured === true && model?.recoveryKey === undefined ? [sync] : [])];
}

function summary(model: Model | undefined): [string, string, string] {
  const status = model?.status;
  if (model === undefined) return ["", "Not connected to its app", ""];
  if (model.recoveryKey !== undefined) return ["warn", "Almost there", "One thing to keep, then the first sync"];
  if (status === undefined) return model.notice?.tone === "bad" ? ["bad", "No answer", ""] : ["busy", "Looking…", ""];
  if (!status.configured) return ["", "Sync between machines is not set up", ""];
  const last = status.lastSync === null ? "never synced" : `last sync ${ago(status.lastSync)}`;
  const where = status.lastSync === null ? count(status.devices.length, "device") : `${count(status.devices.length, "device")}, ${count(status.sessions, "session")}`;
  if (model.operation !== undefined || model.elsewhere) return ["busy", "Working…", `${last} · ${where}`];
  if (status.lastError !== null) return ["bad", "The last sync failed", `${status.lastError.message} · ${last}`];
  const { number, urgent } = waiting(status);
  if (urgent) return ["warn", `${count(number, "thing")} ${number === 1 ? "waits" : "wait"} for you`, `${last} · ${where}`];
  return [status.lastSync === null ? "" : "good", status.lastSync === null ? "Ready for the first sync" : "In sync", `${last} · ${where}`];
}

function noticeView(model: Model, notice: Notice): Node {
  return h(
    "div",
    { class: `notice ${notice.tone}`, role: notice.tone === "bad" ? "alert" : undefined },
    h("div", { class: "words wrap" }, h("div", {}, notice.title), notice.text ? h("div", { class: "small" }, notice.text) : undefined, notice.remedy ? h("div", { class: "small remedy" }, notice.remedy) : undefined),
    h(
      "div",
      { class: "buttons" },
      notice.retry !== undefined && h("button", { type: "button", key: "retry", onclick: notice.retry }, "Try again"),
      h("button", { type: "button", class: "quiet", key: "dismiss", "aria-label": "Dismiss", onclick: () => model.dismiss() }, "✕"),
    ),
  );
}
