/** As `target.push(...items)`, which overflows the stack when a word has millions of characters. */
export function append<T>(target: T[], items: Iterable<T>): void {
  for (const item of items) target.push(item);
}
