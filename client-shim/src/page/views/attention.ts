import type { Attention, ConfigConflict, StatusResult } from "../../generated/protocol.js";
import { foreign, h } from "../dom.js";
import type { Model } from "../model.js";
import { exactly, REASON_ORDER, REASONS, URGENT } from "../text.js";
import type { Confirm } from "./history.js";
import { answersTo } from "./questions.js";

const SHOWN = 20;

/** How much waits, and whether any of it waits for the person. */
export function waiting(status: StatusResult | undefined): { number: number; urgent: boolean } {
  const entries = status?.attention ?? [];
  return { number: entries.length, urgent: entries.some((entry) => URGENT.has(entry.reason)) };
}

export function attentionView(model: Model, status: StatusResult, busy: boolean, confirm: Confirm): Node[] {
  const groups = new Map<string, Attention[]>();
  for (const entry of status.attention) groups.set(entry.reason, [...(groups.get(entry.reason) ?? []), entry]);
  const place = (reason: string): number => (REASON_ORDER.indexOf(reason) + REASON_ORDER.length + 1) % (REASON_ORDER.length + 1);
  const sorted = [...groups].sort(([a], [b]) => place(a) - place(b));
  const tables = status.unsyncedTables.length > 0 ? [h("p", { class: "soft small" }, "Tables of opencode that are not synced: ", foreign(status.unsyncedTables.join(", ")))] : [];
  if (sorted.length === 0) return [h("p", { class: "empty" }, "Nothing waits, and no session was continued on two machines at once."), ...tables];
  return [...sorted.map(([reason, entries]) => group(model, reason, entries, busy, confirm)), ...tables];
}

function group(model: Model, reason: string, entries: Attention[], busy: boolean, confirm: Confirm): Node {
  const choices = reason === "conflict" ? model.conflicts : [];
  const known = REASONS[reason] ?? { title: reason, text: "" };
  const allow = async (): Promise<void> => {
    const text = "What vanished from this machine is then deleted on all your machines with the next sync.";
    if (await confirm({ title: "Delete it everywhere?", text, yes: "Delete everywhere", danger: true })) await model.sync("publish");
  };
  const shown = reason === "guard" ? entries.filter((entry) => entry.sessionId !== "") : entries; // the other one has the commands of a terminal
  return h(
    "section",
    { class: "stack", "aria-label": known.title },
    h("div", { class: "row" }, h("h2", {}, known.title, " ", h("span", { class: URGENT.has(reason) ? "tag warn" : "tag" }, String(shown.length)))),
    h("p", {}, known.text),
    h("ul", { class: "list" }, ...(choices.length > 0 ? choices.map((conflict) => conflictItem(model, conflict, busy)) : shown.slice(0, SHOWN).map(item))),
    choices.length === 0 && shown.length > SHOWN && h("p", { class: "soft" }, `and ${shown.length - SHOWN} more`),
    reason === "identity" && h("div", { class: "answers" }, ...answersTo(model, "identityCloned", confirm)),
    reason === "guard" &&
      h(
        "div",
        { class: "row" },
        h("button", { type: "button", key: "bring-back", disabled: busy, onclick: () => void model.sync("restore") }, "No, bring them back"),
        h("button", { type: "button", class: "danger", key: "allow", disabled: busy, onclick: () => void allow() }, "Yes, it was meant…"),
      ),
  );
}

function item(entry: Attention): Node {
  const until = entry.until === null ? "" : `until ${exactly(entry.until)}`;
  const name = entry.title || entry.sessionId;
  return h("li", {}, h("div", { class: "grow" }, name && h("div", {}, foreign(name, "name")), foreign([entry.detail, until].filter(Boolean).join(" · "), "soft small")));
}

/** Both values, and a choice. */
function conflictItem(model: Model, conflict: ConfigConflict, busy: boolean): Node {
  const value = (name: string, text: string | null): Node[] => [h("dt", {}, name), h("dd", {}, text === null ? "removed" : text === "" ? "not shown" : foreign(text))];
  const choose = (choice: "mine" | "theirs", label: string): Node =>
    h("button", { type: "button", key: `${choice}-${conflict.id}`, disabled: busy, "aria-label": `${label}: ${conflict.id}`, onclick: () => void model.resolve(conflict.id, choice) }, label);
  return h(
    "li",
    {},
    h("div", { class: "grow" }, foreign(conflict.id, "name"), h("dl", { class: "small" }, ...value("Here", conflict.mine), ...value("Elsewhere", conflict.theirs))),
    choose("mine", "Keep mine"),
    choose("theirs", "Take theirs"),
  );
}
