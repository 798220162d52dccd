import type { HistoryResult, SessionChange } from "../../generated/protocol.js";
import { foreign, h } from "../dom.js";
import type { Model } from "../model.js";
import { ago, change, count, exactly, rows } from "../text.js";

const RECENT = 20;
const SHOWN = 100;
const ORDER = ["deleteOut", "deleteIn", "both", "in", "out"];

/** What the next sync would carry, and what the last ones brought. */
export function sessionsView(model: Model, busy: boolean): Node[] {
  const { preview, history } = model;
  const ask = h("button", { type: "button", key: "look", disabled: busy, onclick: () => void model.look() }, preview === undefined ? "Look" : "Look again");
  const next =
    preview === undefined
      ? h("p", { class: "empty" }, "See which sessions would go out and come in, before anything is changed.")
      : preview.sessions.length === 0
        ? h("p", { class: "empty" }, "Nothing: this machine and the vault agree.")
        : h("ul", { class: "list", "aria-label": "Next sync" }, ...sorted(preview.sessions).slice(0, SHOWN).map(changeItem));
  const more = (preview?.sessions.length ?? 0) - SHOWN;
  return [
    h("div", { class: "row" }, h("h2", {}, "The next sync"), ask),
    next,
    ...(more > 0 ? [h("p", { class: "soft" }, `and ${count(more, "more session", "more sessions")}`)] : []),
    h("h2", {}, "Changed here lately"),
    recent(history),
  ];
}

function sorted(sessions: readonly SessionChange[]): SessionChange[] {
  return [...sessions].sort((a, b) => ORDER.indexOf(a.change) - ORDER.indexOf(b.change) || a.title.localeCompare(b.title));
}

function changeItem(entry: SessionChange): Node {
  const deletes = entry.change.startsWith("delete");
  return h(
    "li",
    {},
    foreign(entry.title || entry.id, "name grow"),
    entry.rows > 0 && h("span", { class: "soft small" }, count(entry.rows, "row")),
    h("span", { class: deletes ? "tag warn" : "tag" }, change(entry)),
  );
}

function recent(history: HistoryResult | undefined): Node {
  const seen = new Set<string>();
  const items: Node[] = [];
  for (const cycle of history?.cycles ?? []) {
    for (const session of cycle.sessions) {
      if (seen.has(session.id) || items.length >= RECENT) continue;
      seen.add(session.id);
      items.push(
        h("li", {}, h("div", { class: "grow" }, h("div", {}, foreign(session.title || session.id, "name")), h("span", { class: "soft small", title: exactly(cycle.at) }, `${ago(cycle.at)} · ${rows(session)}`))),
      );
    }
  }
  return items.length === 0 ? h("p", { class: "empty" }, "No sync has changed a session here yet.") : h("ul", { class: "list", "aria-label": "Changed here lately" }, ...items);
}
