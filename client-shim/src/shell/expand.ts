import { append } from "./append.js";
import type { Script, Word } from "./ast.js";
import { expandMarked, type MarkedChar, markText } from "./braces.js";
import type { ShellEnvironment } from "./environment.js";
import { CommandFailure } from "./errors.js";
import { expandGlob } from "./glob.js";

export interface Expander {
  readonly environment: ShellEnvironment;
  /** `$0` to `$9`. */
  readonly positional: readonly string[];
  /** Run a command substitution. */
  substitute(script: Script): Promise<{ stdout: string; exitCode: number }>;
}

export interface Expansion {
  readonly words: string[];
  /** The exit code of a word that is one failed substitution, else 0. */
  readonly exitCode: number;
}

/** A word that is being put together. `quoted` keeps it although it is empty. */
interface Pending {
  chars: MarkedChar[];
  quoted: boolean;
}

/**
 * Expand one word to any number of words. Variables are never split or globbed; substitutions are split at white
 * space unless quoted.
 */
export async function expandWord(word: Word, expander: Expander, options: { keepUnmatchedGlob?: boolean } = {}): Promise<Expansion> {
  const words: string[] = [];
  let pending: Pending = { chars: [], quoted: false };
  let exitCode = 0;
  const flush = (): void => {
    if (pending.chars.length > 0 || pending.quoted) words.push(textOf(pending.chars));
    pending = { chars: [], quoted: false };
  };
  const add = (text: string, literal: boolean): void => append(pending.chars, markText(text, literal));

  for (const [index, part] of word.parts.entries()) {
    switch (part.type) {
      case "text":
        if (part.quoted) pending.quoted = true;
        add(part.text, true);
        break;
      case "variable":
        add(expander.environment.get(part.name), true);
        break;
      case "argument":
        add(expander.positional[part.index] ?? "", true);
        break;
      case "tilde":
        add(isHome(word, index) ? expander.environment.home() : "~", true);
        break;
      case "substitution": {
        const result = await expander.substitute(part.script);
        if (result.exitCode !== 0 && word.parts.length === 1) exitCode = result.exitCode;
        if (part.quoted) {
          add(result.stdout.replace(/[ \n\t\r]+$/, ""), true);
          break;
        }
        const fields = result.stdout.replace(/\n/g, " ").replace(/^[ \t\r]+|[ \t\r]+$/g, "").split(/ +/);
        for (const [position, field] of fields.entries()) {
          if (position > 0) flush();
          add(field, true);
        }
        break;
      }
      case "asterisk":
        add("*", false);
        break;
      case "doubleAsterisk":
        add("**", false);
        break;
      case "braceOpen":
        add("{", false);
        break;
      case "braceClose":
        add("}", false);
        break;
      case "comma":
        add(",", false);
        break;
    }
  }

  if (word.hasBraces) append(words, expandMarked(pending.chars).map(textOf));
  if (word.hasGlob) {
    const matches = await expandGlob(pending.chars, expander.environment.cwd);
    if (matches.length > 0) append(words, matches);
    else if (options.keepUnmatchedGlob === true) flush();
    else throw new CommandFailure(`no matches found: ${textOf(pending.chars)}`);
  } else if (!word.hasBraces) flush();
  return { words, exitCode };
}

function textOf(chars: readonly MarkedChar[]): string {
  return chars.map(({ char }) => char).join("");
}

/** `~` and `~/x` are the home directory; `~user` is text. */
function isHome(word: Word, index: number): boolean {
  if (index !== 0) return false;
  const next = word.parts[1];
  return next === undefined || (next.type === "text" && /^[/\\]/.test(next.text));
}
