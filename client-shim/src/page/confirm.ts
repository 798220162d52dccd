import { h } from "./dom.js";

/** A modal question; Escape is a no. The focus comes back to where it was. */
export function confirm(root: ShadowRoot, question: { title: string; about?: Node | string; text: string; yes: string; danger?: boolean }): Promise<boolean> {
  return new Promise((resolve) => {
    const yes = h("button", { type: "button", class: question.danger === true ? "danger" : "primary", onclick: () => dialog.close("yes") }, question.yes);
    const no = h("button", { type: "button", onclick: () => dialog.close("no") }, "Leave it");
    const dialog = h(
      "dialog",
      { "aria-labelledby": "question", "aria-describedby": "explanation" },
      h("div", { class: "stack" }, h("h2", { id: "question" }, question.title), question.about, h("p", { id: "explanation", class: "wrap" }, question.text), h("div", { class: "row" }, no, yes)),
    );
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue === "yes");
    });
    root.append(dialog);
    dialog.showModal();
    no.focus();
  });
}
