import type { Assignment, Command, Conditional, ConditionalOperator, Expression, If, Redirect, Script, Statement, Word, WordPart } from "./ast.js";
import { type SourceUnit, lex, ShellSyntaxError, type Token, type TokenType } from "./lexer.js";

const UNARY_SUPPORTED: readonly string[] = ["-f", "-d", "-c", "-z", "-n"];
const UNARY_KNOWN: readonly string[] = [...UNARY_SUPPORTED, ..."abeghkprstuwxoGLNORSv".split("").map((letter) => `-${letter}`)];
const BINARY_SUPPORTED: readonly string[] = ["==", "!="];
const BINARY_KNOWN: readonly string[] = [...BINARY_SUPPORTED, "-ef", "-nt", "-ot", "<", ">", "-eq", "-ne", "-lt", "-le", "-gt", "-ge"];

const VARIABLE_NAME = /^[A-Za-z_][A-Za-z0-9_]*$/;
const STATEMENT_END: readonly TokenType[] = ["Semicolon", "Newline", "Eof"];

type Keyword = "if" | "then" | "elif" | "else" | "fi";

/** Parse one script; throws a `ShellSyntaxError`. */
export function parse(source: readonly SourceUnit[]): Script {
  return new Parser(lex(source)).script(null);
}

class Parser {
  readonly #tokens: readonly Token[];
  #position = 0;
  /** What closes the innermost subshell or substitution. */
  #closing: TokenType | null = null;

  constructor(tokens: readonly Token[]) {
    this.#tokens = tokens;
  }

  script(closing: TokenType | null): Script {
    const outer = this.#closing;
    this.#closing = closing;
    const statements: Statement[] = [];
    this.#skipNewlines();
    while (!this.#at("Eof") && !this.#atClosing()) {
      statements.push(this.#statement());
      this.#skipNewlines();
    }
    if (closing !== null) this.#position += 1;
    this.#closing = outer;
    return { statements };
  }

  #statement(): Statement {
    const expressions: Expression[] = [];
    while (!this.#atStatementEnd()) {
      expressions.push(this.#binary());
      if (this.#at("Ampersand")) throw new ShellSyntaxError('Background commands "&" are not supported yet.');
    }
    if (this.#at("Semicolon") || this.#at("Newline")) this.#position += 1;
    return expressions;
  }

  #binary(): Expression {
    let left = this.#pipeline();
    for (;;) {
      const operator = this.#at("DoubleAmpersand") ? "&&" : this.#at("DoublePipe") ? "||" : null;
      if (operator === null) return left;
      this.#position += 1;
      left = { type: "binary", operator, left, right: this.#pipeline() };
    }
  }

  #pipeline(): Expression {
    const first = this.#compound();
    if (!this.#at("Pipe")) return first;
    const items = [first];
    while (this.#at("Pipe")) {
      this.#position += 1;
      items.push(this.#compound());
    }
    return { type: "pipeline", items };
  }

  #compound(): Expression {
    if (this.#at("OpenParen")) {
      this.#position += 1;
      const script = this.script("CloseParen");
      if (this.#at("Redirect")) throw new ShellSyntaxError("Subshells with redirections are currently not supported. Please open a GitHub issue.");
      return { type: "subshell", script };
    }
    if (this.#atKeyword("if")) return this.#if();
    if (this.#at("DoubleBracketOpen")) return this.#conditional();
    return this.#simple();
  }

  #if(): If {
    const branches: { condition: readonly Statement[]; body: readonly Statement[] }[] = [];
    this.#takeKeyword("if");
    for (;;) {
      const condition = this.#body("then");
      if (!this.#takeKeyword("then")) throw new ShellSyntaxError(`Expected "then" but got: ${this.#token.type}`);
      branches.push({ condition, body: this.#body("elif", "else", "fi") });
      if (this.#takeKeyword("elif")) continue;
      let otherwise: readonly Statement[] | null = null;
      if (this.#takeKeyword("else")) {
        otherwise = this.#body("fi");
        if (!this.#takeKeyword("fi")) throw new ShellSyntaxError(`Expected "fi" but got: ${this.#token.type}`);
      } else if (!this.#takeKeyword("fi")) {
        throw new ShellSyntaxError(branches.length > 1 ? `Expected "fi" but got: ${this.#token.type}` : `Expected "else", "elif", or "fi" but got: ${this.#token.type}`);
      }
      return { type: "if", branches, otherwise };
    }
  }

  #body(...until: readonly Keyword[]): readonly Statement[] {
    const statements: Statement[] = [];
    this.#skipNewlines();
    while (!until.some((keyword) => this.#atKeyword(keyword)) && !this.#at("Eof") && !this.#atClosing()) {
      statements.push(this.#statement());
      this.#skipNewlines();
    }
    return statements;
  }

  #conditional(): Conditional {
    this.#position += 1;
    const first = this.#token;
    if (first.type === "Text" && first.text.startsWith("-")) {
      const operator = first.text;
      if (!UNARY_KNOWN.includes(operator)) throw new ShellSyntaxError(`Unknown conditional expression operation: ${operator}`);
      this.#supported(operator, UNARY_SUPPORTED);
      this.#position += 1;
      this.#delimiter();
      return this.#closeConditional(operator, [this.#operand()]);
    }
    const left = this.#word();
    if (left === null) throw new ShellSyntaxError(`Expected a conditional expression operand, but got: ${describe(this.#token)}`);
    const token = this.#token;
    if (token.type !== "Text") throw new ShellSyntaxError(`Expected a conditional expression operator, but got: ${describe(token)}`);
    this.#position += 1;
    this.#delimiter();
    if (!BINARY_KNOWN.includes(token.text)) throw new ShellSyntaxError(`Unknown conditional expression operation: ${token.text}`);
    this.#supported(token.text, BINARY_SUPPORTED);
    return this.#closeConditional(token.text, [left, this.#operand()]);
  }

  #supported(operator: string, supported: readonly string[]): asserts operator is ConditionalOperator {
    if (supported.includes(operator)) return;
    throw new ShellSyntaxError(`Conditional expression operation: ${operator}, is not supported right now. Please open a GitHub issue if you would like it to be supported.`);
  }

  #delimiter(): void {
    if (!this.#at("Delimit")) throw new ShellSyntaxError("Expected a single, simple word");
    this.#position += 1;
  }

  #operand(): Word {
    const word = this.#word();
    if (word === null) throw new ShellSyntaxError(`Expected a word, but got: ${describe(this.#token)}`);
    return word;
  }

  #closeConditional(operator: string, operands: readonly Word[]): Conditional {
    if (!this.#at("DoubleBracketClose")) throw new ShellSyntaxError(`Expected "]]" but got: ${describe(this.#token)}`);
    this.#position += 1;
    return { type: "conditional", operator: operator as ConditionalOperator, operands };
  }

  #simple(): Expression {
    const assignments: Assignment[] = [];
    for (let assignment = this.#assignment(); assignment !== null; assignment = this.#assignment()) assignments.push(assignment);
    if (this.#atStatementEnd()) {
      if (assignments.length === 0) throw new ShellSyntaxError("expected a command or assignment");
      return { type: "assignments", assignments };
    }
    const name = this.#word();
    if (name === null) {
      if (assignments.length === 0) throw new ShellSyntaxError(`expected a command or assignment but got: "${this.#token.type}"`);
      return { type: "assignments", assignments };
    }
    const words = [name];
    for (let word = this.#word(); word !== null; word = this.#word()) words.push(word);
    return { type: "command", assignments, words, redirect: this.#redirect() } satisfies Command;
  }

  #redirect(): Redirect | null {
    const token = this.#token;
    if (token.type !== "Redirect") return null;
    this.#position += 1;
    const { flags } = token;
    const next = this.#token;
    if (next.type === "JSObjRef") {
      this.#position += 1;
      return { flags, target: { type: "object", value: next.value } };
    }
    const word = this.#word();
    if (word === null && !flags.duplicate) throw new ShellSyntaxError("Redirection with no file");
    return { flags, target: word === null ? null : { type: "word", word } };
  }

  #assignment(): Assignment | null {
    const token = this.#token;
    if (token.type !== "Text" || token.quoted) return null;
    const equals = token.text.indexOf("=");
    const name = token.text.slice(0, equals);
    if (equals < 1 || !VARIABLE_NAME.test(name)) return null;
    this.#position += 1;
    const text = token.text.slice(equals + 1);
    if (this.#atWordEnd()) {
      if (this.#at("Delimit")) this.#position += 1;
      return { name, value: { parts: [{ type: "text", text, quoted: false }], hasBraces: false, hasGlob: false } };
    }
    const rest = this.#word();
    if (rest === null) throw new ShellSyntaxError("Expected an atom");
    const prefix: WordPart[] = text === "" ? [] : [{ type: "text", text, quoted: false }];
    return { name, value: { ...rest, parts: [...prefix, ...rest.parts] } };
  }

  #word(): Word | null {
    const parts: WordPart[] = [];
    let open = false;
    let close = false;
    let comma = false;
    let hasGlob = false;
    for (;;) {
      const token = this.#token;
      if (this.#atWordEnd()) {
        if (token.type === "Delimit") this.#position += 1;
        break;
      }
      switch (token.type) {
        case "Text":
          if (!token.quoted && token.text.startsWith("~")) {
            parts.push({ type: "tilde" });
            if (token.text.length > 1) parts.push({ type: "text", text: token.text.slice(1), quoted: false });
          } else parts.push({ type: "text", text: token.text, quoted: token.quoted });
          break;
        case "Var":
          parts.push({ type: "variable", name: token.name });
          break;
        case "VarArgv":
          parts.push({ type: "argument", index: token.index });
          break;
        case "Asterisk":
          hasGlob = true;
          parts.push({ type: "asterisk" });
          break;
        case "DoubleAsterisk":
          hasGlob = true;
          parts.push({ type: "doubleAsterisk" });
          break;
        case "BraceBegin":
          open = true;
          parts.push({ type: "braceOpen" });
          break;
        case "BraceEnd":
          close = true;
          parts.push({ type: "braceClose" });
          break;
        case "Comma":
          comma = true;
          parts.push({ type: "comma" });
          break;
        case "CmdSubstBegin":
          this.#position += 1;
          if (this.#at("CmdSubstEnd")) throw new ShellSyntaxError('expected a command or assignment but got: "CmdSubstEnd"');
          parts.push({ type: "substitution", script: this.script("CmdSubstEnd"), quoted: token.quoted });
          continue;
        case "OpenParen":
        case "CloseParen":
          throw new ShellSyntaxError(`Unexpected token: \`${token.type === "OpenParen" ? "(" : ")"}\``);
        default:
          return null;
      }
      this.#position += 1;
    }
    if (parts.length === 0) return null;
    return { parts, hasBraces: open && close && comma, hasGlob };
  }

  get #token(): Token {
    return this.#tokens[this.#position] ?? { type: "Eof" };
  }

  #at(type: TokenType): boolean {
    return this.#token.type === type;
  }

  #atClosing(): boolean {
    return this.#closing !== null && this.#token.type === this.#closing;
  }

  #atStatementEnd(): boolean {
    return STATEMENT_END.includes(this.#token.type) || this.#atClosing();
  }

  #atWordEnd(): boolean {
    return this.#at("Delimit") || this.#atStatementEnd();
  }

  #skipNewlines(): void {
    while (this.#at("Newline")) this.#position += 1;
  }

  /** A keyword is one whole, unquoted word in the place of a command. */
  #atKeyword(keyword: Keyword): boolean {
    const token = this.#token;
    if (token.type !== "Text" || token.quoted || token.text !== keyword) return false;
    const next = this.#tokens[this.#position + 1]?.type ?? "Eof";
    return next === "Delimit" || STATEMENT_END.includes(next) || next === this.#closing;
  }

  #takeKeyword(keyword: Keyword): boolean {
    if (!this.#atKeyword(keyword)) return false;
    this.#position += 1;
    if (this.#at("Delimit")) this.#position += 1;
    return true;
  }
}

const SPELLINGS: Partial<Record<TokenType, string>> = {
  Pipe: "`|`",
  DoublePipe: "`||`",
  Ampersand: "`&`",
  DoubleAmpersand: "`&&`",
  Redirect: "`>`",
  Asterisk: "`*`",
  DoubleAsterisk: "`**`",
  Semicolon: "`;`",
  Newline: "`\\n`",
  BraceBegin: "`{`",
  Comma: "`,`",
  BraceEnd: "`}`",
  CmdSubstBegin: "`$(`",
  CmdSubstEnd: "`)`",
  OpenParen: "`(`",
  CloseParen: "`)`",
  DoubleBracketOpen: "[[",
  DoubleBracketClose: "]]",
  Eof: "EOF",
};

function describe(token: Token): string {
  if (token.type === "Text") return token.text;
  if (token.type === "Var") return token.name;
  if (token.type === "VarArgv") return `$${token.index}`;
  return SPELLINGS[token.type] ?? token.type;
}
