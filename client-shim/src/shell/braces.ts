/**
 * Brace expansion. Not a library: the common ones expand `{1..3}` and take other decisions about a single or an open
 * brace than Bun, none of which can be switched off.
 */

/** A character and whether quoting or a backslash took its meaning away. */
export interface MarkedChar {
  readonly char: string;
  readonly literal: boolean;
}

export function markText(text: string, literal: boolean): MarkedChar[] {
  return Array.from(text, (char) => ({ char, literal }));
}

type Node = { readonly chars: readonly MarkedChar[] } | { readonly variants: readonly (readonly Node[])[] };

/** Every variant, in the order in which they are written. */
export function expandMarked(chars: readonly MarkedChar[]): MarkedChar[][] {
  const { nodes } = parseNodes(chars, 0, false);
  return combine(nodes);
}

/** `$.braces()`. */
export function expandBraces(pattern: string): string[] {
  const chars: MarkedChar[] = [];
  const points = Array.from(pattern);
  for (let index = 0; index < points.length; index += 1) {
    const char = points[index] ?? "";
    const next = points[index + 1];
    if (char === "\\" && next !== undefined) {
      chars.push({ char: next, literal: true });
      index += 1;
    } else chars.push({ char, literal: false });
  }
  const variants = expandMarked(chars);
  // Without anything to expand, the pattern comes back as it is, with its backslashes.
  if (variants.length === 1) return [pattern];
  return variants.map((variant) => variant.map(({ char }) => char).join(""));
}

function parseNodes(chars: readonly MarkedChar[], start: number, nested: boolean): { nodes: readonly Node[]; end: number } {
  const nodes: Node[] = [];
  let text: MarkedChar[] = [];
  let index = start;
  for (; index < chars.length; index += 1) {
    const marked = chars[index];
    if (marked === undefined) break;
    const { char, literal } = marked;
    if (!literal && char === "{") {
      const group = parseGroup(chars, index + 1);
      if (group !== null) {
        nodes.push({ chars: text }, { variants: group.variants });
        text = [];
        index = group.end;
        continue;
      }
    } else if (nested && !literal && (char === "," || char === "}")) break;
    text.push(marked);
  }
  nodes.push({ chars: text });
  return { nodes, end: index };
}

/** A group from after its `{`; null when it has no comma or no end, and is text. */
function parseGroup(chars: readonly MarkedChar[], start: number): { variants: readonly (readonly Node[])[]; end: number } | null {
  const variants: (readonly Node[])[] = [];
  let index = start;
  for (;;) {
    const { nodes, end } = parseNodes(chars, index, true);
    variants.push(nodes);
    const closing = chars[end];
    if (closing === undefined) return null;
    if (closing.char === "}") return variants.length > 1 ? { variants, end } : null;
    index = end + 1;
  }
}

function combine(nodes: readonly Node[]): MarkedChar[][] {
  let results: MarkedChar[][] = [[]];
  for (const node of nodes) {
    const additions = "chars" in node ? [node.chars] : node.variants.flatMap(combine);
    results = results.flatMap((prefix) => additions.map((addition) => [...prefix, ...addition]));
  }
  return results;
}
