import { invalidArgument } from '#base/errors.ts';

const units = ['', 'k', 'm', 'g', 't', 'p'];

/** `10m` and `10mb` are ten million bytes. Rejects with InvalidArgument. */
export const parseDecimalSize = (text: string): number => parseSize(text, 1000);
/** `10m` and `10mb` are ten times 1,048,576 bytes. Rejects with InvalidArgument. */
export const parseBinarySize = (text: string): number => parseSize(text, 1024);

function parseSize(text: string, unit: number): number {
  const match = /^(\d+(?:\.\d+)?) ?([kmgtp]?)(i?b)?$/i.exec(text);
  if (match?.[1] === undefined) throw invalidArgument(`invalid size: '${text}'`);
  return Math.floor(Number(match[1]) * unit ** units.indexOf((match[2] ?? '').toLowerCase()));
}

/** Undefined when it is neither. */
export function parseBoolean(text: string): boolean | undefined {
  if (['1', 't', 'T', 'TRUE', 'true', 'True'].includes(text)) return true;
  return ['0', 'f', 'F', 'FALSE', 'false', 'False'].includes(text) ? false : undefined;
}

/** Rejects with InvalidArgument in Go's words. */
export function requireBoolean(text: string): boolean {
  const value = parseBoolean(text);
  if (value === undefined) throw invalidArgument(`strconv.ParseBool: parsing ${JSON.stringify(text)}: invalid syntax`);
  return value;
}

/** Rejects with InvalidArgument in Go's words. */
export function requireInteger(text: string): number {
  if (!/^[+-]?\d+$/.test(text)) throw invalidArgument(`strconv.Atoi: parsing ${JSON.stringify(text)}: invalid syntax`);
  return Number(text);
}

const durationUnits: Readonly<Record<string, number>> = { ns: 1e-6, us: 1e-3, µs: 1e-3, μs: 1e-3, ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/** Milliseconds of a Go duration such as `1.5s` or `1m30s`. Rejects with InvalidArgument in Go's words. */
export function parseDurationMs(text: string): number {
  const match = /^([+-]?)((?:\d+\.?\d*|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+$/.exec(text);
  if (text === '0') return 0;
  if (match === null) {
    const isUnitless = /^[+-]?(\d+\.?\d*|\.\d+)$/.test(text);
    throw invalidArgument(`time: ${isUnitless ? 'missing unit in' : 'invalid'} duration ${JSON.stringify(text)}`);
  }
  let total = 0;
  for (const [, amount, unit] of text.matchAll(/(\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h)/g))
    total += Number(amount) * (durationUnits[unit ?? ''] ?? 0);
  return match[1] === '-' ? -total : total;
}
