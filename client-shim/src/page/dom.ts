/** Elements are made here and nowhere else: text is only ever text, so nothing that another machine wrote becomes HTML. */

type Child = Node | string | null | undefined | false;
type Value = string | number | boolean | undefined | ((event: Event) => void);

/** Attributes that name a script or a place to go are not in this list, on purpose. */
const ATTRIBUTES = /^(aria-[a-z]+|data-[a-z]+|class|role|id|type|name|for|value|max|min|required|disabled|open|hidden|tabindex|autocomplete|spellcheck|title|lang|datetime|readonly|dir|rows)$/;

/** `onclick` and the like are listeners; `key` lets a redrawn element keep the focus. */
export function h<K extends keyof HTMLElementTagNameMap>(tag: K, props: Record<string, Value> = {}, ...children: Child[]): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === false) continue;
    if (typeof value === "function") element.addEventListener(name.slice(2), value);
    else if (name === "key") element.dataset["key"] = String(value);
    else if (!ATTRIBUTES.test(name)) throw new Error(`the attribute ${name} is not used here`);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  for (const child of children) if (child !== null && child !== undefined && child !== false) element.append(child);
  return element;
}

/** Text of other people stands apart from ours: its direction does not change the line around it. */
export function foreign(text: string, className = ""): HTMLElement {
  return h("bdi", { class: className || undefined }, text);
}

/** Replace what is in `parent`; the focus, and which details are open, stay where they were. */
export function redraw(parent: HTMLElement, ...children: Child[]): void {
  const root = parent.getRootNode() as Document | ShadowRoot;
  const focused = root.activeElement instanceof HTMLElement && parent.contains(root.activeElement) ? root.activeElement.dataset["key"] : undefined;
  const open = new Set([...parent.querySelectorAll<HTMLDetailsElement>("details[data-key][open]")].map((found) => found.dataset["key"]));
  const typed = new Map([...parent.querySelectorAll<HTMLInputElement>("input[data-key]")].map((found) => [found.dataset["key"], found.value]));
  parent.replaceChildren(...children.filter((child): child is Node | string => child !== null && child !== undefined && child !== false));
  for (const details of parent.querySelectorAll<HTMLDetailsElement>("details[data-key]")) if (open.has(details.dataset["key"])) details.open = true;
  for (const input of parent.querySelectorAll<HTMLInputElement>("input[data-key]")) input.value = typed.get(input.dataset["key"]) ?? input.value;
  if (focused !== undefined) [...parent.querySelectorAll<HTMLElement>("[data-key]")].find((found) => found.dataset["key"] === focused)?.focus();
}
