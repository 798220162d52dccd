/** A constructed style sheet: allowed where a content security policy forbids inline styles. */
const CSS = `
:host {
  --bg: #ffffff; --raised: #f6f7f9; --line: #d9dce3; --text: #1b1e26; --soft: #5b6272; --accent: #2956d8; --on-accent: #ffffff;
  --good: #176f3a; --good-bg: #e5f4ea; --warn: #855300; --warn-bg: #fdf1da; --bad: #b0202c; --bad-bg: #fce9ea;
  color-scheme: light; display: block; container-type: inline-size; background: var(--bg); color: var(--text);
  font: 14px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif;
}
:host([hidden]) { display: none; }
@media (prefers-color-scheme: dark) {
  :host(:not([theme="light"])) {
    --bg: #15171c; --raised: #1e2128; --line: #343946; --text: #e8eaf0; --soft: #a2a9b8; --accent: #8fadff; --on-accent: #10131a;
    --good: #7ed69c; --good-bg: #14301f; --warn: #f0bf68; --warn-bg: #352710; --bad: #ff9aa2; --bad-bg: #3b181c; color-scheme: dark;
  }
}
:host([theme="dark"]) {
  --bg: #15171c; --raised: #1e2128; --line: #343946; --text: #e8eaf0; --soft: #a2a9b8; --accent: #8fadff; --on-accent: #10131a;
  --good: #7ed69c; --good-bg: #14301f; --warn: #f0bf68; --warn-bg: #352710; --bad: #ff9aa2; --bad-bg: #3b181c; color-scheme: dark;
}
*, ::before, ::after { box-sizing: border-box; }
[hidden] { display: none !important; }
.panel { display: flex; flex-direction: column; gap: 16px; max-width: 860px; margin: 0 auto; padding: 20px; }
h1, h2, h3, p, ul, dl, dd { margin: 0; padding: 0; }
h2 { font-size: 14px; font-weight: 650; }
h3 { font-size: 14px; font-weight: 600; }
ul { list-style: none; }
.soft { color: var(--soft); }
.small { font-size: 12.5px; }
.live:empty { margin-bottom: -16px; }
.setup:empty { display: none; }
.hidden-text { position: absolute; width: 1px; height: 1px; margin: -1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
.stack { display: flex; flex-direction: column; gap: 12px; }
.row { display: flex; gap: 12px; align-items: center; justify-content: space-between; flex-wrap: wrap; }
.grow { flex: 1 1 220px; min-width: 0; }
bdi, .wrap { overflow-wrap: anywhere; white-space: pre-wrap; }
header .state { display: flex; gap: 12px; align-items: center; }
header .title { font-size: 17px; font-weight: 650; line-height: 1.3; }
.dot { flex: none; width: 12px; height: 12px; border-radius: 50%; background: var(--soft); }
.dot.good { background: var(--good); } .dot.warn { background: var(--warn); } .dot.bad { background: var(--bad); }
.dot.busy { background: var(--accent); animation: beat 1.2s ease-in-out infinite; }
@keyframes beat { 50% { opacity: .35; } }
@media (prefers-reduced-motion: reduce) { .dot.busy { animation: none; } }
button, input { font: inherit; color: inherit; }
button { padding: 6px 14px; border: 1px solid var(--line); border-radius: 7px; background: var(--bg); cursor: pointer; white-space: nowrap; }
button:hover:not(:disabled) { background: var(--raised); border-color: var(--soft); }
button.primary { background: var(--accent); border-color: var(--accent); color: var(--on-accent); font-weight: 600; }
button.primary:hover:not(:disabled) { background: var(--accent); filter: brightness(1.1); }
button.danger { border-color: var(--bad); color: var(--bad); }
button.quiet { border-color: transparent; background: none; padding: 4px 8px; }
button:disabled { opacity: .5; cursor: default; }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
.notice { display: flex; flex-wrap: wrap; gap: 4px 12px; align-items: flex-start; justify-content: space-between; padding: 10px 12px; border-radius: 8px; border: 1px solid; }
.notice.good { color: var(--good); background: var(--good-bg); } .notice.warn { color: var(--warn); background: var(--warn-bg); }
.notice.bad { color: var(--bad); background: var(--bad-bg); }
.notice .words { flex: 1 1 200px; min-width: 0; min-height: 32px; display: flex; flex-direction: column; justify-content: center; gap: 2px; }
.notice .words > * { color: var(--text); } .notice .words > :first-child { color: inherit; font-weight: 600; }
.notice .buttons { display: flex; gap: 6px; }
.answers { display: flex; flex-wrap: wrap; gap: 6px; margin-top: 4px; }
.progress { display: flex; flex-direction: column; gap: 6px; padding: 12px; border: 1px solid var(--line); border-radius: 8px; background: var(--raised); }
progress { width: 100%; height: 8px; appearance: none; border: 0; border-radius: 4px; overflow: hidden; background: var(--line); }
progress::-webkit-progress-bar { background: var(--line); } progress::-webkit-progress-value { background: var(--accent); }
progress::-moz-progress-bar { background: var(--accent); }
progress:indeterminate { background: linear-gradient(90deg, var(--line) 30%, var(--accent) 50%, var(--line) 70%) 0 / 200% 100%; animation: slide 1.4s linear infinite; }
progress:indeterminate::-webkit-progress-bar { background: transparent; }
@keyframes slide { from { background-position: 200% 0; } to { background-position: 0 0; } }
@media (prefers-reduced-motion: reduce) { progress:indeterminate { animation: none; } }
[role="tablist"] { display: flex; gap: 2px; border-bottom: 1px solid var(--line); overflow-x: auto; }
[role="tab"] { border: 0; border-bottom: 2px solid transparent; border-radius: 6px 6px 0 0; background: none; padding: 8px 12px; color: var(--soft); }
[role="tab"]:hover:not(:disabled) { border-color: transparent; }
[role="tab"][aria-selected="true"], [role="tab"][aria-selected="true"]:hover { color: var(--text); border-bottom-color: var(--accent) !important; font-weight: 600; }
[role="tab"]:focus-visible { outline-offset: -2px; }
.tag { display: inline-block; padding: 0 8px; border-radius: 10px; background: var(--raised); border: 1px solid var(--line); color: var(--soft); font-size: 12px; font-weight: 500; white-space: nowrap; }
.tag.warn { color: var(--warn); background: var(--warn-bg); border-color: transparent; }
.tag.good { color: var(--good); background: var(--good-bg); border-color: transparent; } .tag.bad { color: var(--bad); background: var(--bad-bg); border-color: transparent; }
.list { border: 1px solid var(--line); border-radius: 8px; overflow: hidden; }
.list > li { padding: 10px 12px; display: flex; gap: 4px 12px; align-items: center; justify-content: space-between; flex-wrap: wrap; }
.list > li + li { border-top: 1px solid var(--line); }
.name { font-weight: 550; }
.empty { padding: 24px; text-align: center; color: var(--soft); border: 1px dashed var(--line); border-radius: 8px; }
details { flex-basis: 100%; } summary { cursor: pointer; color: var(--soft); width: fit-content; border-radius: 4px; }
details ul { margin-top: 6px; } details li { padding: 6px 0 6px 14px; display: flex; gap: 4px 12px; justify-content: space-between; align-items: center; flex-wrap: wrap; }
dl.checks { margin-top: 8px; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 2px 16px; } dt { color: var(--soft); } dd { min-width: 0; }
.remedy { flex-basis: 100%; } .remedy::before { content: "→ "; color: var(--soft); }
form { display: flex; flex-direction: column; gap: 10px; padding: 16px; border: 1px solid var(--line); border-radius: 8px; }
label { display: flex; flex-direction: column; gap: 4px; font-weight: 550; }
label .soft { font-weight: 400; }
input { padding: 7px 10px; border: 1px solid var(--soft); border-radius: 7px; background: var(--bg); width: 100%; }
.key { font: 15px/1.6 ui-monospace, "DejaVu Sans Mono", monospace; padding: 12px; border: 1px solid var(--line); border-radius: 8px; background: var(--raised); overflow-wrap: anywhere; user-select: all; }
.two { display: grid; grid-template-columns: 1fr 1fr; gap: 16px; align-items: start; }
@container (max-width: 620px) { .two { grid-template-columns: 1fr; } .panel { padding: 12px; } [role="tab"] { padding: 8px; font-size: 13px; } dl { grid-template-columns: 1fr; } dd + dt { margin-top: 6px; } }
dialog { max-width: 460px; padding: 20px; border: 1px solid var(--line); border-radius: 12px; background: var(--bg); color: var(--text); }
dialog::backdrop { background: rgb(0 0 0 / .45); } dialog .row { justify-content: flex-end; }
@media (forced-colors: active) { .dot, progress { forced-color-adjust: none; } }
`;

let sheet: CSSStyleSheet | undefined;

export function style(root: ShadowRoot): void {
  if (sheet === undefined) {
    sheet = new CSSStyleSheet();
    sheet.replaceSync(CSS);
  }
  root.adoptedStyleSheets = [sheet];
}
