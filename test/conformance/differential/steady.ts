/** Texts and values without what differs from run to run: ids, times, addresses, sizes of the machine's own. */
const replacements: readonly (readonly [RegExp, string])[] = [
  [/\b[0-9a-f]{64}\b/g, '<id>'],
  [/\b[0-9a-f]{12}\b/g, '<short>'],
  [/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)/g, '<time>'],
  [/(?:Less than a second|About an? (?:minute|hour)|\d+ (?:seconds?|minutes?|hours?|days?|weeks?|months?|years?))(?: ago)?/g, '<while>'],
  [/\b(?:[0-9a-f]{2}:){5}[0-9a-f]{2}\b/g, '<mac>'],
  [/\b(?:10|172)(?:\.\d{1,3}){3}\b/g, '<address>'],
  [/\/tmp\/berth-[dt]-\w+/g, '<root>'],
];

export const steadyText = (text: string): string => replacements.reduce((steady, [pattern, name]) => steady.replace(pattern, name), text);

export const steadyLines = (text: string): string[] =>
  steadyText(text)
    .split('\n')
    .map(line => line.trimEnd().replaceAll(/ {2,}/g, '  '))
    .filter(line => line !== '');

/**
 * Every leaf of a JSON value as `path: value`. Numbers that count something of the machine are told by their kind only, and whether something empty is
 * null or has no items makes no difference to any client.
 */
export function steadyValue(value: unknown, path: string): string[] {
  if (Array.isArray(value) && value.length > 0) return value.flatMap((item, index) => steadyValue(item, `${path}[${String(index)}]`));
  const entries = typeof value === 'object' ? Object.entries(value ?? {}) : [];
  if (typeof value === 'object' && entries.length === 0) return [`${path}: <empty>`];
  if (typeof value === 'object') {
    return entries.toSorted(([a], [b]) => (a < b ? -1 : 1)).flatMap(([key, item]) => steadyValue(item, `${path}.${steadyText(key)}`));
  }
  if (typeof value === 'string') return [`${path}: ${value === '' ? '<empty>' : JSON.stringify(steadyText(value))}`];
  const isCount = typeof value === 'number' && (value > 1_000_000 || /\.(?:Pid|pid|Created|mtime|size|Size\w*)$/.test(path));
  return [`${path}: ${isCount ? '<number>' : String(value)}`];
}
