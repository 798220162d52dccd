/**
 * Turns a template literal into tokens.
 *
 * The dialect is the one of Bun's `$`, which is close to a POSIX shell but not one: only the space and the newline
 * separate words, `$?` and `${x}` are plain text, and a redirection ends its command. Where this file looks odd, a
 * conformance case says that Bun does the same.
 */

/** A JavaScript value that was interpolated; its text is never read as syntax. */
export type Interpolation = { readonly kind: "string"; readonly text: string } | { readonly kind: "object"; readonly value: RedirectObject };

/** What a redirection may read from or write to besides files. */
export type RedirectObject = ArrayBuffer | SharedArrayBuffer | ArrayBufferView | Blob | Response | ReadableStream;

/** One code point of shell text, or one interpolated value. */
export type SourceUnit = string | Interpolation;

export interface RedirectFlags {
  readonly stdin: boolean;
  readonly stdout: boolean;
  readonly stderr: boolean;
  readonly append: boolean;
  /** `2>&1` (then `stdout` is set) or `1>&2` (then `stderr` is set). */
  readonly duplicate: boolean;
}

type PlainTokenType =
  | "Pipe"
  | "DoublePipe"
  | "Ampersand"
  | "DoubleAmpersand"
  | "Asterisk"
  | "DoubleAsterisk"
  | "Semicolon"
  | "Newline"
  | "BraceBegin"
  | "Comma"
  | "BraceEnd"
  | "CmdSubstEnd"
  | "OpenParen"
  | "CloseParen"
  | "DoubleBracketOpen"
  | "DoubleBracketClose"
  | "Delimit"
  | "Eof";

export type Token =
  | { readonly type: PlainTokenType }
  | { readonly type: "Text"; readonly text: string; readonly quoted: boolean }
  | { readonly type: "Var"; readonly name: string }
  | { readonly type: "VarArgv"; readonly index: number }
  | { readonly type: "CmdSubstBegin"; readonly quoted: boolean }
  | { readonly type: "Redirect"; readonly flags: RedirectFlags }
  | { readonly type: "JSObjRef"; readonly value: RedirectObject };

export type TokenType = Token["type"];

/** Text that is not in the language. Bun throws a plain `Error`, and so do we. */
export class ShellSyntaxError extends Error {
  override name = "Error";
}

type QuoteState = "normal" | "single" | "double";
type Nesting = "none" | "paren" | "dollar" | "backtick";

/** The tokens that are parts of a word: after one of them, a separator ends the word. */
const WORD_PARTS: ReadonlySet<TokenType> = new Set<TokenType>(["Text", "Var", "VarArgv", "BraceBegin", "Comma", "BraceEnd", "CmdSubstEnd", "Asterisk", "DoubleAsterisk"]);

const DOUBLE_QUOTE_ESCAPES = new Set(["$", "`", '"', "\\", "\n", "#"]);
const NO_REDIRECT: RedirectFlags = { stdin: false, stdout: false, stderr: false, append: false, duplicate: false };

interface Input {
  readonly unit: SourceUnit;
  readonly escaped: boolean;
  readonly width: 1 | 2;
}

export function lex(source: readonly SourceUnit[]): Token[] {
  const lexer = new Lexer(source);
  lexer.run("none", "normal");
  return lexer.tokens;
}

class Lexer {
  readonly tokens: Token[] = [];
  #position = 0;
  #text = "";
  #state: QuoteState = "normal";
  /** How many tokens there were when the quote was opened. */
  #quoteStart = 0;
  readonly #source: readonly SourceUnit[];

  constructor(source: readonly SourceUnit[]) {
    this.#source = source;
  }

  /** Read up to the end of the source or of the enclosing `( )`, `$( )` or backticks. */
  run(nesting: Nesting, state: QuoteState): void {
    const outerState = this.#state;
    this.#state = state;
    for (let input = this.#peek(); input !== undefined; input = this.#peek()) {
      const start = this.#position;
      this.#position += input.width;
      const { unit } = input;
      if (typeof unit !== "string") {
        this.#interpolation(unit);
      } else if (input.escaped) {
        this.#escaped(unit);
      } else if (this.#state === "single") {
        if (unit === "'") this.#closeQuote();
        else this.#text += unit;
      } else if (this.#state === "double") {
        if (unit === '"') this.#closeQuote();
        else if (unit === "$") this.#dollar();
        else if (unit === "`") {
          if (nesting === "backtick") return this.#endSubstitution(outerState);
          this.#substitution("backtick");
        } else this.#text += unit;
      } else {
        const end = this.#normal(unit, start, nesting);
        if (end) {
          this.#state = outerState;
          return;
        }
      }
    }
    this.#endWord(true);
    if (nesting === "paren") throw new ShellSyntaxError("Unclosed subshell");
    if (nesting !== "none") throw new ShellSyntaxError("Unclosed command substitution");
    this.#push({ type: "Eof" });
  }

  /** One unquoted character. True when it closes the enclosing nesting. */
  #normal(char: string, start: number, nesting: Nesting): boolean {
    switch (char) {
      case "[":
        if (this.#char() === "[" && /^[ \r\n\t]$/.test(this.#char(1) ?? "")) {
          this.#position += 1;
          this.#endWord(true);
          this.#push({ type: "DoubleBracketOpen" });
        } else this.#text += char;
        return false;
      case "]": {
        const after = this.#unit(1);
        if (this.#char() === "]" && (after === undefined || (typeof after === "string" && /^[ \r\n\t;&|>)]$/.test(after)))) {
          this.#position += 1;
          this.#endWord(true);
          this.#push({ type: "DoubleBracketClose" });
        } else this.#text += char;
        return false;
      }
      case "#":
        if (start === 0 || /^\s$/.test(String(this.#source[start - 1]))) {
          this.#endWord(true);
          this.#comment();
        } else this.#text += char;
        return false;
      case " ":
        this.#endWord(true);
        return false;
      case "\n":
        this.#endWord(true);
        this.#push({ type: "Newline" });
        return false;
      case ";":
        this.#endWord(true);
        this.#push({ type: "Semicolon" });
        return false;
      case "*":
        this.#endWord(false);
        if (this.#char() === "*") {
          this.#position += 1;
          this.#push({ type: "DoubleAsterisk" });
        } else this.#push({ type: "Asterisk" });
        return false;
      case "{":
        this.#endWord(false);
        this.#push({ type: "BraceBegin" });
        return false;
      case ",":
        this.#endWord(false);
        this.#push({ type: "Comma" });
        return false;
      case "}":
        this.#endWord(false);
        this.#push({ type: "BraceEnd" });
        return false;
      case "'":
      case '"':
        this.#endWord(false);
        this.#state = char === "'" ? "single" : "double";
        this.#quoteStart = this.tokens.length;
        return false;
      case "$":
        this.#dollar();
        return false;
      case "`":
        if (nesting === "backtick") {
          this.#endWord(true);
          this.#push({ type: "CmdSubstEnd" });
          return true;
        }
        this.#substitution("backtick");
        return false;
      case "(":
        this.#endWord(true);
        this.#push({ type: "OpenParen" });
        this.run("paren", "normal");
        return false;
      case ")":
        if (nesting !== "paren" && nesting !== "dollar") throw new ShellSyntaxError("Unexpected ')'");
        this.#endWord(true);
        this.#push({ type: nesting === "paren" ? "CloseParen" : "CmdSubstEnd" });
        return true;
      case "0":
      case "1":
      case "2":
        if (!this.#descriptorRedirect(char)) this.#text += char;
        return false;
      case "|":
        this.#endWord(true);
        if (this.#unit() === undefined) throw new ShellSyntaxError("Unexpected EOF");
        if (this.#char() === "&") throw new ShellSyntaxError("Piping stdout and stderr (`|&`) is not supported yet. Please file an issue on GitHub.");
        if (this.#char() === "|") {
          this.#position += 1;
          this.#push({ type: "DoublePipe" });
        } else this.#push({ type: "Pipe" });
        return false;
      case ">":
      case "<": {
        this.#endWord(true);
        const append = this.#take(char);
        this.#push({ type: "Redirect", flags: { ...NO_REDIRECT, stdin: char === "<", stdout: char === ">", append } });
        return false;
      }
      case "&":
        this.#endWord(true);
        if (this.#take(">")) {
          const append = this.#take(">");
          this.#push({ type: "Redirect", flags: { ...NO_REDIRECT, stdout: true, stderr: true, append } });
        } else if (this.#take("&")) this.#push({ type: "DoubleAmpersand" });
        else this.#push({ type: "Ampersand" });
        return false;
      default:
        this.#text += char;
        return false;
    }
  }

  #interpolation(unit: Interpolation): void {
    if (unit.kind === "object") {
      if (this.#state === "double") throw new ShellSyntaxError("JS object reference not allowed in double quotes");
      this.#endWord(false);
      this.#push({ type: "JSObjRef", value: unit.value });
      return;
    }
    this.#endWord(false);
    // Pushed even when empty: `${""}` is an argument.
    this.#push({ type: "Text", text: unit.text, quoted: true });
  }

  #escaped(char: string): void {
    if (char === "\n") {
      if (this.#state === "normal") this.#endWord(true);
      return;
    }
    if (this.#state === "normal") {
      this.#endWord(false);
      this.#push({ type: "Text", text: char, quoted: true });
    } else this.#text += char;
  }

  #closeQuote(): void {
    // `""` is an argument, but not `"$UNSET"`.
    if (this.#text !== "" || this.tokens.length === this.#quoteStart) this.#push({ type: "Text", text: this.#text, quoted: true });
    this.#text = "";
    this.#state = "normal";
  }

  #dollar(): void {
    if (this.#char() === "(") {
      this.#position += 1;
      // Arithmetic. Bun has none either, and fails with these words.
      if (this.#char() === "(") throw new ShellSyntaxError('expected a command or assignment but got: "CmdSubstEnd"');
      this.#substitution("dollar");
      return;
    }
    const first = this.#char();
    if (first !== undefined && /^[0-9]$/.test(first)) {
      this.#endWord(false);
      this.#position += 1;
      this.#push({ type: "VarArgv", index: Number(first) });
      return;
    }
    let name = "";
    for (let char = first; char !== undefined && /^[A-Za-z0-9_]$/.test(char); char = this.#char()) {
      name += char;
      this.#position += 1;
    }
    if (name === "") {
      this.#text += "$";
      return;
    }
    this.#endWord(false);
    this.#push({ type: "Var", name });
  }

  #substitution(kind: "dollar" | "backtick"): void {
    this.#endWord(false);
    this.#push({ type: "CmdSubstBegin", quoted: this.#state === "double" });
    this.run(kind, "normal");
  }

  #endSubstitution(outerState: QuoteState): void {
    this.#endWord(true);
    this.#push({ type: "CmdSubstEnd" });
    this.#state = outerState;
  }

  /** `2>`, `1>>`, `2>&1`, `1>&2`, also in the middle of a word, as in Bun. */
  #descriptorRedirect(digit: "0" | "1" | "2"): boolean {
    const start = this.#position;
    if (digit === "0" && this.#take("<")) {
      this.#endWord(true);
      this.#push({ type: "Redirect", flags: { ...NO_REDIRECT, stdin: true } });
      return true;
    }
    if (!this.#take(">")) return false;
    const append = this.#take(">");
    let flags: RedirectFlags = { ...NO_REDIRECT, stdin: digit === "0", stdout: digit === "1", stderr: digit === "2", append };
    if (this.#take("&")) {
      const target = this.#char();
      if ((digit === "2" && target === "1") || (digit === "1" && target === "2")) {
        this.#position += 1;
        flags = { ...NO_REDIRECT, append, duplicate: true, stdout: target === "1", stderr: target === "2" };
      } else if (target !== undefined) {
        this.#position = start;
        return false;
      }
    }
    this.#endWord(true);
    this.#push({ type: "Redirect", flags });
    return true;
  }

  #comment(): void {
    for (let unit = this.#unit(); unit !== undefined && unit !== "\n"; unit = this.#unit()) this.#position += 1;
  }

  /** End the run of plain text; with `delimit`, also the word. */
  #endWord(delimit: boolean): void {
    if (this.#text !== "") {
      this.#push({ type: "Text", text: this.#text, quoted: this.#state !== "normal" });
      this.#text = "";
    }
    const last = this.tokens.at(-1);
    if (delimit && last !== undefined && WORD_PARTS.has(last.type)) this.#push({ type: "Delimit" });
  }

  #push(token: Token): void {
    this.tokens.push(token);
  }

  #unit(offset = 0): SourceUnit | undefined {
    return this.#source[this.#position + offset];
  }

  #char(offset = 0): string | undefined {
    const unit = this.#unit(offset);
    return typeof unit === "string" ? unit : undefined;
  }

  #take(char: string): boolean {
    if (this.#char() !== char) return false;
    this.#position += 1;
    return true;
  }

  #peek(): Input | undefined {
    const unit = this.#unit();
    if (unit === undefined) return undefined;
    if (unit !== "\\" || this.#state === "single") return { unit, escaped: false, width: 1 };
    const next = this.#unit(1);
    // A backslash at the very end is dropped.
    if (next === undefined) return this.#state === "normal" ? undefined : { unit, escaped: false, width: 1 };
    if (typeof next !== "string") return { unit, escaped: false, width: 1 };
    if (this.#state === "double" && !DOUBLE_QUOTE_ESCAPES.has(next)) return { unit, escaped: false, width: 1 };
    return { unit: next, escaped: true, width: 2 };
  }
}
