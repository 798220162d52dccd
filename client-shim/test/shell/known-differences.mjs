/** Where ours differs from Bun on purpose or for a known cause: the name of the case, and why. */
const option = { reason: "ours takes the long option and --; Bun calls them illegal" };
const lost = { reason: "Bun loses what a substitution writes to stderr; ours captures it" };
const comment = { reason: "Bun drops the newline after a comment and joins the lines" };
const nullPrototype = { reason: "ours says what the value is; Bun's message breaks off" };
const stdin = { reason: "the published type has `stdin`, Bun does not" };
const brace = { reason: "Bun gives up on this unbalanced or escaped pattern; ours expands what is complete" };

export const knownDifferences = {
  "rm --force nofile": option,
  "rm -- a.txt": option,
  "mkdir --verbose q": option,
  "echo $(nope)": lost,
  "echo $(ls nofile)": lost,
  "echo $(sh -c 'echo e >&2; echo o')": lost,
  "$(nope)": lost,
  "echo a # c\necho b": comment,
  "as a comment": comment,
  "argument: null-prototype object": nullPrototype,
  "inside a word: null-prototype object": nullPrototype,
  "in double quotes: null-prototype object": nullPrototype,
  prototype: stdin,
  "no stdin property": stdin,
  '$.braces "{a,{b}"': brace,
  '$.braces "{a,b}\\\\"': brace,
  "echo a,b {,} {}": { reason: "Bun drops empty variants when all are; ours keeps them, as for {x,}" },
  "echo ~/\"x y\" ~\"/x\" \\~ '~'": { reason: "Bun expands an escaped tilde" },
  "echo `echo a b` x`echo c`y": { reason: "Bun loses the words around backticks inside a word" },
  "cat < dir": { reason: "commands get a pipe and not the file itself, so that a directory reads as empty" },
  "([[ -f a.txt ]]) && echo y": { reason: "Bun cannot parse ]] before a parenthesis" },
  "echo {a,b}*.txt": { reason: "one walk per variant; Bun's single walk gives the order of the directory" },
  "echo ** b": { reason: "Bun joins ** and the next word" },
};
