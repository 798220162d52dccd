import { type Builtin, fail } from "./context.js";

const USAGE = "usage: seq [-w] [-f format] [-s string] [-t string] [first [incr]] last\n";
const BATCH = 8192;

export const seq: Builtin = async (context) => {
  const args = [...context.args];
  if (args.length === 0) return fail(context, USAGE);
  let separator = "\n";
  let terminator = "";
  for (let arg = args[0]; arg !== undefined; arg = args[0]) {
    if (arg === "-s" || arg === "--separator" || arg === "-t" || arg === "--terminator") {
      const value = args[1];
      const letter = arg.replace(/^-+/, "").charAt(0);
      if (value === undefined) return fail(context, `seq: option requires an argument -- ${letter}\n`);
      if (letter === "s") separator = value;
      else terminator = value;
      args.shift();
    } else if (arg.startsWith("-s")) separator = arg.slice(2);
    else if (arg.startsWith("-t")) terminator = arg.slice(2);
    else if (arg !== "-w" && arg !== "--fixed-width") break;
    args.shift();
  }
  if (args.length === 0) return fail(context, USAGE);
  const numbers = args.slice(0, 3).map(parseNumber);
  const [one = Number.NaN, two = Number.NaN, three = Number.NaN] = numbers;
  if (numbers.some((number) => !Number.isFinite(number))) return fail(context, "seq: invalid argument\n");
  const [start, last] = numbers.length === 1 ? [1, one] : numbers.length === 2 ? [one, two] : [one, three];
  let increment = start > last ? -1 : 1;
  if (numbers.length === 3) {
    increment = two;
    if (increment === 0) return fail(context, "seq: zero increment\n");
    if (start > last && increment > 0) return fail(context, "seq: needs negative decrement\n");
    if (start < last && increment < 0) return fail(context, "seq: needs positive increment\n");
  }
  let text = "";
  let previous: number | undefined;
  // A float can be too large for the increment to change it.
  for (let current = start; (increment > 0 ? current <= last : current >= last) && current !== previous; current = Math.fround(current + increment)) {
    previous = current;
    text += format(current) + separator;
    if (text.length < BATCH) continue;
    if (!(await context.out(text)) || context.signal?.aborted === true) return 1;
    text = "";
  }
  await context.out(text + terminator);
  return 0;
};

function parseNumber(text: string): number {
  return /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text) ? Math.fround(Number(text)) : Number.NaN;
}

/** The shortest decimal of a 32-bit float, in which Bun counts. */
function format(value: number): string {
  if (Number.isInteger(value)) return BigInt(value).toString();
  for (let digits = 1; digits < 10; digits += 1) {
    const text = value.toPrecision(digits);
    if (Math.fround(Number(text)) === value) return String(Number(text));
  }
  return String(value);
}
