import type { Check } from "../../generated/protocol.js";
import { foreign, h } from "../dom.js";
import type { Model } from "../model.js";
import { count } from "../text.js";

export function doctorView(model: Model, busy: boolean): Node[] {
  const found = model.doctor;
  const bad = found?.checks.filter((check) => !check.ok) ?? [];
  const good = found?.checks.filter((check) => check.ok) ?? [];
  const ask = h("button", { type: "button", key: "examine", class: found === undefined ? "primary" : undefined, disabled: busy, onclick: () => void model.examine() }, found === undefined ? "Examine" : "Examine again");
  const heading = found === undefined ? "Check everything that sync depends on" : bad.length === 0 ? "Everything is in order" : count(bad.length, "finding");
  return [
    h("div", { class: "row" }, h("h2", {}, heading), ask),
    found === undefined && h("p", { class: "empty" }, "git, the database, disk space, permissions, clocks, the vault, the remote. Nothing is changed."),
    bad.length > 0 && h("ul", { class: "list", "aria-label": "Findings" }, ...bad.map(checkItem)),
    good.length > 0 &&
      h("details", { key: "fine", open: bad.length === 0 }, h("summary", { key: "fine-summary" }, `${good.length} in order`), h("dl", { class: "checks small" }, ...good.flatMap((check) => [h("dt", {}, foreign(check.name)), h("dd", {}, foreign(check.detail))]))),
  ].filter((node) => node !== false) as Node[];
}

function checkItem(check: Check): Node {
  return h(
    "li",
    {},
    h("div", { class: "grow" }, h("span", { class: "tag bad" }, "not in order"), " ", foreign(check.name, "name"), h("div", {}, foreign(check.detail))),
    check.remedy !== "" && h("div", { class: "remedy" }, foreign(check.remedy)),
  );
}
