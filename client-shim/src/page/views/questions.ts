import { h } from "../dom.js";
import type { Model } from "../model.js";
import type { PanelQuestion } from "../port.js";
import type { Confirm } from "./history.js";

/** Answers that are asked about once more, with what they do. */
const GRAVE: Record<string, string> = { "Delete on all machines": "What vanished from this machine is then deleted on all your machines." };
const LATER = "Later";

/** What the sidecar asks, at the top, until it is answered or put off. */
export function questionsView(model: Model, confirm: Confirm): Node[] {
  return model.questions
    .filter((question) => !model.later.has(question.id))
    .map((question) =>
      h(
        "section",
        { class: "notice warn", "aria-label": "A question" },
        h("div", { class: "words wrap" }, h("div", {}, question.message), h("div", { class: "answers" }, ...answers(model, question, confirm), later(model, question))),
      ),
    );
}

/** The buttons of one of this kind, if it is open. */
export function answersTo(model: Model, kind: string, confirm: Confirm): Node[] {
  const open = model.questions.find((question) => question.kind === kind);
  return open === undefined ? [] : answers(model, open, confirm);
}

/** It stays with what waits, and with the app. */
function later(model: Model, question: PanelQuestion): Node {
  return h("button", { type: "button", class: "quiet", key: `later-${question.id}`, onclick: () => model.putOff(question) }, LATER);
}

function answers(model: Model, question: PanelQuestion, confirm: Confirm): Node[] {
  const choose = async (title: string): Promise<void> => {
    const text = GRAVE[title];
    if (text === undefined || (await confirm({ title: `${title}?`, text, yes: title, danger: true }))) await model.answer(question, title);
  };
  return question.actions
    .filter(({ title }) => title !== LATER)
    .map(({ title }) => h("button", { type: "button", key: `${title}-${question.id}`, class: title in GRAVE ? "danger" : undefined, onclick: () => void choose(title) }, title));
}
