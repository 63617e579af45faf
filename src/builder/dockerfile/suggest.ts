const farthest = 2;

/** The option that a mistyped word most likely means: at most two letters away. Undefined when there is none or the word is one of them. */
export function suggest(
  word: string,
  options: Iterable<string>,
  { ignoreCase = false }: { ignoreCase?: boolean } = {},
): string | undefined {
  const fold = (text: string): string => (ignoreCase ? text.toLowerCase() : text);
  const wanted = fold(word);
  let best: string | undefined;
  let least = farthest + 1;
  for (const option of options) {
    const distance = editDistance(wanted, fold(option));
    if (distance === 0) return undefined;
    if (distance < least) [best, least] = [option, distance];
  }
  if (best === undefined || !ignoreCase) return best;
  if (word === word.toLowerCase()) return best.toLowerCase();
  return word === word.toUpperCase() ? best.toUpperCase() : fold(best);
}

/** ` (did you mean x?)`, or nothing. */
export function didYouMean(word: string, options: Iterable<string>, settings: { ignoreCase?: boolean } = {}): string {
  const match = suggest(word, options, settings);
  return match === undefined ? '' : ` (did you mean ${match}?)`;
}

/** How many letters to add, take away, replace or swap with their neighbour to make one word of the other. */
function editDistance(a: string, b: string): number {
  if (Math.abs(a.length - b.length) > farthest) return farthest + 1;
  let before: number[] = [];
  let above = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i += 1) {
    const row = [i];
    for (let j = 1; j <= b.length; j += 1) {
      const [replaced = 0, removed = 0, added = 0] = [above[j - 1], above[j], row[j - 1]];
      const isSwap = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      const swapped = isSwap ? (before[j - 2] ?? 0) + 1 : Number.POSITIVE_INFINITY;
      row.push(Math.min(replaced + (a[i - 1] === b[j - 1] ? 0 : 1), removed + 1, added + 1, swapped));
    }
    [before, above] = [above, row];
  }
  return above[b.length] ?? 0;
}
