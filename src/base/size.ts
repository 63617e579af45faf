const binaryUnits: Readonly<Record<string, number>> = { '': 1, b: 1, k: 2 ** 10, m: 2 ** 20, g: 2 ** 30, t: 2 ** 40, p: 2 ** 50 };

/** A size as people write it: `512m`, `1.5GiB`, `1024`. A unit is a power of 1024. */
export function parseBytes(text: string): number {
  const parts = /^(\d+(?:\.\d+)?) ?([kKmMgGtTpP]?)(?:[iI]?[bB])?$/.exec(text);
  const factor = binaryUnits[parts?.[2]?.toLowerCase() ?? ''];
  if (parts === null || factor === undefined) throw new Error(`invalid size: '${text}'`);
  return Math.floor(Number(parts[1]) * factor);
}
