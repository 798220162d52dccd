import type { Builtin } from "./context.js";

const SIMPLE_ESCAPES: Readonly<Record<string, number>> = { "\\": 0x5c, a: 0x07, b: 0x08, e: 0x1b, E: 0x1b, f: 0x0c, n: 0x0a, r: 0x0d, t: 0x09, v: 0x0b };

export const echo: Builtin = async (context) => {
  let newline = true;
  let escapes = false;
  let first = 0;
  for (const arg of context.args) {
    if (!/^-[neE]+$/.test(arg)) break;
    for (const flag of arg.slice(1)) {
      if (flag === "n") newline = false;
      else escapes = flag === "e";
    }
    first += 1;
  }
  const args = context.args.slice(first);
  if (escapes) {
    const { bytes, stopped } = interpretEscapes(Buffer.from(args.join(" ")));
    await context.out(newline && !stopped ? Buffer.concat([bytes, Buffer.from("\n")]) : bytes);
    return 0;
  }
  const last = args.length - 1;
  // As in Bun: of the newlines that the last argument begins with one is kept, and one that it ends with is enough.
  const text = args.map((arg, index) => (index === last ? arg.replace(/^\n+/, "\n") : arg)).join(" ");
  const ended = (args[last] ?? "").endsWith("\n");
  await context.out(newline && !ended ? `${text}\n` : text);
  return 0;
};

function interpretEscapes(input: Buffer): { bytes: Uint8Array; stopped: boolean } {
  const output: number[] = [];
  const char = (index: number): string => (index < input.length ? String.fromCharCode(input[index] ?? 0) : "");
  for (let index = 0; index < input.length; index += 1) {
    const next = char(index + 1);
    if (char(index) !== "\\" || next === "") {
      output.push(input[index] ?? 0);
      continue;
    }
    index += 1;
    const simple = SIMPLE_ESCAPES[next];
    if (simple !== undefined) output.push(simple);
    else if (next === "c") return { bytes: Uint8Array.from(output), stopped: true };
    else if (next === "0" || next === "x") {
      const pattern = next === "0" ? /[0-7]/ : /[0-9a-fA-F]/;
      let digits = "";
      while (digits.length < (next === "0" ? 3 : 2) && pattern.test(char(index + 1))) {
        index += 1;
        digits += char(index);
      }
      if (next === "x" && digits === "") output.push(0x5c, 0x78);
      else output.push(Number.parseInt(digits === "" ? "0" : digits, next === "0" ? 8 : 16) & 0xff);
    } else output.push(0x5c, input[index] ?? 0);
  }
  return { bytes: Uint8Array.from(output), stopped: false };
}
