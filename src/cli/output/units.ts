const decimalUnits = ['B', 'kB', 'MB', 'GB', 'TB', 'PB', 'EB', 'ZB', 'YB'];
const binaryUnits = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB', 'EiB', 'ZiB', 'YiB'];

function scale(size: number, base: number, units: readonly string[]): [number, string] {
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

/** `1.24MB`: powers of 1000. */
export function humanSize(sizeBytes: number, digits = 4): string {
  const [value, unit] = scale(sizeBytes, 1000, decimalUnits);
  return `${significant(value, digits)}${unit}`;
}

/** `1.5GiB`: powers of 1024. */
export function binarySize(sizeBytes: number): string {
  const [value, unit] = scale(sizeBytes, 1024, binaryUnits);
  return `${significant(value, 4)}${unit}`;
}

/** How long something took or is ago, in words: `3 seconds`, `About an hour`. */
export function humanDuration(milliseconds: number): string {
  const seconds = Math.trunc(milliseconds / 1000);
  if (seconds < 1) return 'Less than a second';
  if (seconds === 1) return '1 second';
  if (seconds < 60) return `${seconds} seconds`;
  const minutes = Math.trunc(seconds / 60);
  if (minutes === 1) return 'About a minute';
  if (minutes < 60) return `${minutes} minutes`;
  const hours = Math.floor(milliseconds / 3_600_000 + 0.5);
  if (hours === 1) return 'About an hour';
  if (hours < 48) return `${hours} hours`;
  if (hours < 24 * 7 * 2) return `${Math.trunc(hours / 24)} days`;
  if (hours < 24 * 30 * 2) return `${Math.trunc(hours / 24 / 7)} weeks`;
  if (hours < 24 * 365 * 2) return `${Math.trunc(hours / 24 / 30)} months`;
  return `${Math.trunc(milliseconds / 3_600_000 / 24 / 365)} years`;
}

export const ago = (sinceMs: number, nowMs = Date.now()): string => `${humanDuration(nowMs - sinceMs)} ago`;
