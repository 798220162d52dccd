import type { HistoryCycle, HistorySession } from "../../generated/protocol.js";
import { foreign, h } from "../dom.js";
import type { Model } from "../model.js";
import { ago, count, exactly, moved, rows } from "../text.js";

export type Confirm = (question: { title: string; about?: Node | string; text: string; yes: string; danger?: boolean }) => Promise<boolean>;

const EXPLAINED = "Brings back what this sync changed or deleted here. What it added stays. The next sync takes the result to your other machines; you can undo this, too.";

export function historyView(model: Model, busy: boolean, confirm: Confirm): Node[] {
  const cycles = model.history?.cycles ?? [];
  if (cycles.length === 0) return [h("p", { class: "empty" }, "No sync has moved anything yet.")];
  return [
    h("p", { class: "soft" }, "What a sync changed or deleted here is kept for 30 days and can be brought back."),
    h("ul", { class: "list", "aria-label": "Past syncs" }, ...cycles.map((cycle) => cycleItem(model, cycle, busy, confirm))),
  ];
}

function cycleItem(model: Model, cycle: HistoryCycle, busy: boolean, confirm: Confirm): Node {
  const restored = cycle.kind === "restore";
  const { files } = cycle;
  const touched = cycle.applied.sessions + cycle.published.sessions;
  const what = touched === 0 && files.length > 0 ? `${restored ? "Undid changes in " : ""}${count(files.length, "file")} of the configuration` : restored ? `Undid changes in ${count(cycle.applied.sessions, "session")}` : moved(cycle.applied, cycle.published);
  return h(
    "li",
    {},
    h(
      "div",
      { class: "grow" },
      h("div", {}, h("span", { class: "name" }, sentence(what)), " ", restored && h("span", { class: "tag" }, "undo")),
      h("span", { class: "soft small", title: exactly(cycle.at) }, ago(cycle.at), cycle.applied.sessions > 0 && ` · ${rows(cycle.applied)}`),
    ),
    undoButton(model, cycle, undefined, busy, confirm),
    cycle.sessions.length + files.length > 0 &&
      h(
        "details",
        { key: `open-${cycle.cycleId}` },
        h("summary", { key: `summary-${cycle.cycleId}` }, [cycle.sessions.length > 0 ? count(cycle.sessions.length, "session") : "", files.length > 0 ? count(files.length, "file") : ""].filter(Boolean).join(", ")),
        h(
          "ul",
          {},
          ...cycle.sessions.map((session) =>
            h("li", {}, h("div", { class: "grow" }, foreign(session.title || session.id), " ", h("span", { class: "soft small" }, rows(session))), cycle.sessions.length > 1 && undoButton(model, cycle, session, busy, confirm)),
          ),
          ...files.map((file) => h("li", {}, foreign(file))),
        ),
      ),
  );
}

/** Only what was changed or deleted can be brought back. */
function undoButton(model: Model, cycle: HistoryCycle, session: HistorySession | undefined, busy: boolean, confirm: Confirm): Node | undefined {
  const { updated, deleted } = session ?? cycle.applied;
  const files = session === undefined ? cycle.files.length : 0;
  if (!cycle.restorable || updated + deleted + files === 0) return undefined;
  const ask = async (): Promise<void> => {
    const title = session === undefined ? `Undo the sync of ${exactly(cycle.at)}?` : "Undo this sync in one session?";
    const about = session === undefined ? undefined : foreign(session.title || session.id, "name");
    if (await confirm({ title, ...(about === undefined ? {} : { about }), text: EXPLAINED, yes: "Undo" })) await model.restore(cycle.cycleId, session?.id);
  };
  const label = session === undefined ? `Undo the sync of ${exactly(cycle.at)}` : `Undo in ${session.title || session.id}`;
  return h("button", { type: "button", key: `undo-${cycle.cycleId}-${session?.id ?? ""}`, class: session === undefined ? undefined : "quiet", disabled: busy, "aria-label": label, onclick: () => void ask() }, "Undo");
}

function sentence(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
