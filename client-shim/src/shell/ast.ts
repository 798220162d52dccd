import type { RedirectFlags, RedirectObject } from "./lexer.js";

export interface Script {
  readonly statements: readonly Statement[];
}

/** Usually one expression; Bun also runs the ones that follow a redirection on the same line. */
export type Statement = readonly Expression[];

export type Expression = Command | Assignments | Binary | Pipeline | Subshell | If | Conditional;

export interface Command {
  readonly type: "command";
  readonly assignments: readonly Assignment[];
  readonly words: readonly Word[];
  readonly redirect: Redirect | null;
}

export interface Assignments {
  readonly type: "assignments";
  readonly assignments: readonly Assignment[];
}

export interface Assignment {
  readonly name: string;
  readonly value: Word;
}

export interface Binary {
  readonly type: "binary";
  readonly operator: "&&" | "||";
  readonly left: Expression;
  readonly right: Expression;
}

export interface Pipeline {
  readonly type: "pipeline";
  readonly items: readonly Expression[];
}

export interface Subshell {
  readonly type: "subshell";
  readonly script: Script;
}

export interface If {
  readonly type: "if";
  readonly branches: readonly { readonly condition: readonly Statement[]; readonly body: readonly Statement[] }[];
  readonly otherwise: readonly Statement[] | null;
}

export type ConditionalOperator = "-f" | "-d" | "-c" | "-z" | "-n" | "==" | "!=";

export interface Conditional {
  readonly type: "conditional";
  readonly operator: ConditionalOperator;
  readonly operands: readonly Word[];
}

export interface Redirect {
  readonly flags: RedirectFlags;
  readonly target: { readonly type: "word"; readonly word: Word } | { readonly type: "object"; readonly value: RedirectObject } | null;
}

export interface Word {
  readonly parts: readonly WordPart[];
  /** There is an unquoted `{`, `,` and `}`. */
  readonly hasBraces: boolean;
  /** There is an unquoted `*`; `?` and `[ ]` alone are text in this dialect. */
  readonly hasGlob: boolean;
}

export type WordPart =
  | { readonly type: "text"; readonly text: string; readonly quoted: boolean }
  | { readonly type: "variable"; readonly name: string }
  | { readonly type: "argument"; readonly index: number }
  | { readonly type: "asterisk" | "doubleAsterisk" | "braceOpen" | "braceClose" | "comma" | "tilde" }
  | { readonly type: "substitution"; readonly script: Script; readonly quoted: boolean };
