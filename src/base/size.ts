const binaryUnits: Readonly<Record<string, number>> = { '': 1, b: 1, k: 2 ** 10, m: 2 ** 20, g: 2 ** 30, t: 2 ** 40, p: 2 ** 50 };

/** A size as people write it: `512m`, `1.5GiB`, `1024`. A unit is a power of 1024. */
export function parseBytes(text: string): number {
  const parts = /^(\d+(?:\.\d+)?) ?([kKmMgGtTpP]?)(?:[iI]?[bB])?$/.exec(text);
  const factor = binaryUnits[parts?.[2]?.toLowerCase() ?? ''];
  if (parts === null || factor === undefined) throw new Error(`invalid size: '${text}'`);
  return Math.floor(Number(parts[1]) * factor);
}

const decimalUnits = ['B', 'kB', 'MB', 'GB', 'TB', 'PB', 'EB', 'ZB', 'YB'];

/** A size for people: `1.24MB`, in powers of 1000, with this many significant digits. */
export function formatBytes(sizeBytes: number, digits = 4): string {
  const [value, unit] = scale(sizeBytes, 1000, decimalUnits);
  return `${significant(value, digits)}${unit}`;
}

/** A number below `base`, and the unit that makes it the size. */
export function scale(size: number, base: number, units: readonly string[]): [number, string] {
  let unit = 0;
  let value = size;
  while (value >= base && unit < units.length - 1) {
    value /= base;
    unit += 1;
  }
  return [value, units[unit] ?? 'B'];
}

/** A number with this many significant digits and no useless zeros, as C's `%.Ng`. */
export function significant(value: number, digits: number): string {
  if (value === 0) return '0';
  const exponent = Number(value.toExponential(digits - 1).split('e')[1]);
  if (exponent < -4 || exponent >= digits) {
    const [mantissa = '', power = '0'] = value.toExponential(digits - 1).split('e');
    const shown = mantissa.includes('.') ? mantissa.replace(/\.?0+$/, '') : mantissa;
    return `${shown}e${Number(power) < 0 ? '-' : '+'}${String(Math.abs(Number(power))).padStart(2, '0')}`;
  }
  const fixed = value.toFixed(Math.max(0, digits - 1 - exponent));
  return fixed.includes('.') ? fixed.replace(/\.?0+$/, '') : fixed;
}
