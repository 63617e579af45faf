import { invalidArgument } from '#base/errors.ts';

const units: Readonly<Record<string, number>> = { h: 3_600_000, m: 60_000, s: 1000, ms: 1, us: 0.001, ns: 0.000_001 };

/** A moment in milliseconds: an age such as `24h` or `1h30m`, seconds since 1970, or a date. Rejects with InvalidArgument. */
export function parseUntil(text: string, now: number): number {
  const age = [...text.matchAll(/(\d+(?:\.\d+)?)(ms|us|ns|h|m|s)/g)];
  if (age.length > 0 && age.map(([part]) => part).join('') === text) {
    return now - age.reduce((sum, [, amount, unit]) => sum + Number(amount) * (units[unit ?? ''] ?? 0), 0);
  }
  if (/^\d+(\.\d+)?$/.test(text)) return Number(text) * 1000;
  const date = /^\d{4}-\d{2}-\d{2}/.test(text)
    ? Date.parse(/[zZ]|[+-]\d{2}:?\d{2}$/.test(text) ? text : `${text}${text.includes('T') ? '' : 'T00:00:00'}`)
    : Number.NaN;
  if (Number.isNaN(date))
    throw invalidArgument(`invalid until filter "${text}": it must be an age such as 24h, seconds since 1970 or a date`);
  return date;
}
