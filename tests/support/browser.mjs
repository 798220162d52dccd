// Drives Chromium for a test in Python: one JSON command a line on stdin, one JSON answer a line on stdout.
// Run in the folder whose node_modules has playwright-core.
import { createRequire } from "node:module";
import { join } from "node:path";
import { createInterface } from "node:readline";

const { chromium } = createRequire(join(process.cwd(), "x.js"))("playwright-core");
const browser = await chromium.launch({ executablePath: process.argv[2], args: ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"] });
const pages = new Map();
/** What a person would never see: errors in the page, and what the security policy forbade. */
const troubles = [];

const find = (page, { role, name, nth = 0, exact = true }) => page.getByRole(role, name === undefined ? {} : { name, exact }).nth(nth);

const commands = {
  async open({ page: name, url, width = 900, height = 760, scheme = "light" }) {
    const context = await browser.newContext({ viewport: { width, height }, colorScheme: scheme, reducedMotion: "reduce", locale: "en-GB" });
    const page = await context.newPage();
    page.on("pageerror", (error) => troubles.push(`${name}: ${error.message}`));
    page.on("console", (message) => /Content Security Policy|TrustedHTML|Uncaught/.test(message.text()) && troubles.push(`${name}: ${message.text()}`));
    page.setDefaultTimeout(20_000);
    pages.set(name, page);
    await page.goto(url);
  },
  goto: ({ page, url }) => pages.get(page).goto(url).then((response) => response?.status() ?? null),
  address: ({ page }) => pages.get(page).url(),
  look: ({ page, scheme, width, height = 760 }) => Promise.all([scheme && pages.get(page).emulateMedia({ colorScheme: scheme }), width && pages.get(page).setViewportSize({ width, height })]).then(() => null),
  click: ({ page, ...what }) => find(pages.get(page), what).click(),
  fill: ({ page, text, ...what }) => find(pages.get(page), what).fill(text),
  unfold: ({ page }) => pages.get(page).locator("summary").first().click(),
  press: ({ page, key }) => pages.get(page).keyboard.press(key),
  async shown({ page, text, gone = false }) {
    await pages.get(page).getByText(text).first().waitFor({ state: gone ? "hidden" : "visible" });
  },
  seen: ({ page, ...what }) => find(pages.get(page), what).waitFor().then(() => true),
  disabled: ({ page, ...what }) => find(pages.get(page), what).isDisabled(),
  count: ({ page, role, name, exact = true }) => pages.get(page).getByRole(role, name === undefined ? {} : { name, exact }).count(),
  /** The text of the open view. */
  view: ({ page }) => pages.get(page).getByRole("tabpanel").innerText(),
  text: ({ page }) => pages.get(page).locator("opencode-sidecar-panel .panel").innerText(),
  tree: ({ page }) => pages.get(page).locator("opencode-sidecar-panel .panel").ariaSnapshot(),
  focused: ({ page }) => pages.get(page).evaluate(() => (document.querySelector("opencode-sidecar-panel").shadowRoot.activeElement ?? document.activeElement).textContent),
  /** Elements that a title could have smuggled in, and whether its script ran. */
  smuggled: ({ page }) => pages.get(page).evaluate(() => ({ elements: document.querySelector("opencode-sidecar-panel").shadowRoot.querySelectorAll("img, script, a, iframe, b").length, ran: window.stolen === true })),
  /** Ask the app for something the panel never asks for, as a script that got in would. */
  ask: ({ page, method, params = {}, token = true }) =>
    pages.get(page).evaluate(
      async ([method, params, token]) => {
        const headers = token ? { authorization: `Bearer ${sessionStorage.getItem("token")}` } : {};
        const response = await fetch("/call", { method: "POST", headers, body: JSON.stringify({ method, params }) });
        return { status: response.status, body: response.ok ? await response.json() : null };
      },
      [method, params, token],
    ),
  shot: ({ page, path }) => pages.get(page).screenshot({ path, fullPage: true }).then(() => null),
  troubles: () => troubles,
};

for await (const line of createInterface({ input: process.stdin })) {
  const { do: command, ...rest } = JSON.parse(line);
  const answer = await Promise.resolve(commands[command](rest)).then((value) => ({ value: value ?? null }), (error) => ({ error: error.message }));
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
await browser.close();
