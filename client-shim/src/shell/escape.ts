const SPECIAL = /[~[\]#;\n\t?*{,}`$=()0-9|><&'" \\]/;

/** Quote a text so that the shell reads it as one word; `$.escape()`. */
export function escapeText(input: unknown): string {
  const text = String(input);
  if (text !== "" && !SPECIAL.test(text)) return text;
  return `"${text.replace(/[$`"\\]/g, "\\$&")}"`;
}
