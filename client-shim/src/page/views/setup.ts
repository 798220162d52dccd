import { foreign, h } from "../dom.js";
import type { Model } from "../model.js";

interface Values {
  remote: string;
  name: string;
  key: string;
}

const ADDRESS = "https://…, ssh://…, user@host:path, or a folder";

/** For a device that is in no vault yet. */
export function setupView(model: Model, busy: boolean): Node[] {
  return [
    h("p", {}, "Your sessions travel through a git repository of your own, encrypted before they leave this machine."),
    h(
      "div",
      { class: "two" },
      form("Start here", "On the first machine, with an empty private repository.", "Make a vault", "init", busy, ({ remote, name }) => void model.init(remote, name)),
      form("Join your other machine", "With the address that it uses, and its recovery key.", "Join", "link", busy, ({ remote, name, key }) => void model.link(remote, name, key)),
    ),
  ];
}

function form(title: string, text: string, submit: string, kind: "init" | "link", busy: boolean, go: (values: Values) => void): Node {
  const field = (name: string, more: { type?: string; required?: boolean } = {}): HTMLInputElement => h("input", { key: `${kind}-${name}`, name, autocomplete: "off", spellcheck: "false", ...more });
  const [remote, name, key] = [field("remote", { required: true }), field("name"), field("key", { type: "password" })];
  const send = (event: Event): void => {
    event.preventDefault();
    go({ remote: remote.value.trim(), name: name.value.trim(), key: key.value.trim() });
  };
  return h(
    "form",
    { onsubmit: send, "aria-label": title },
    h("h2", {}, title),
    h("p", { class: "soft small" }, text),
    h("label", {}, "Repository", remote, h("span", { class: "soft small" }, ADDRESS)),
    kind === "link" && h("label", {}, "Recovery key", key),
    h("label", {}, "Name of this machine", name, h("span", { class: "soft small" }, "Empty: the name it has in its network")),
    h("div", {}, h("button", { type: "submit", class: "primary", key: `${kind}-submit`, disabled: busy }, submit)),
  );
}

/** Shown once, right after the vault was made. */
export function keyView(model: Model, key: string): Node[] {
  const copy = h("button", { type: "button", key: "copy-key" }, "Copy");
  copy.addEventListener("click", () => void navigator.clipboard?.writeText(key).then(() => (copy.textContent = "Copied"), () => undefined));
  return [
    h("h2", {}, "Keep this recovery key"),
    h("p", {}, "Your other machines need it to join. Without it nobody can read the vault, neither we nor whoever runs the repository. It is shown only now; store it in a password manager or on paper."),
    h("div", { class: "key", role: "group", "aria-label": "Recovery key", tabindex: 0 }, foreign(key)),
    h("div", { class: "row" }, copy, h("button", { type: "button", class: "primary", key: "stored", onclick: () => model.keyIsStored() }, "I have stored it")),
  ];
}
