import { invalidArgument } from './errors.ts';

const unitMs: Readonly<Record<string, number>> = { ns: 1e-6, us: 1e-3, µs: 1e-3, ms: 1, s: 1e3, m: 6e4, h: 36e5 };
const durationPart = /(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)/g;

/**
 * A moment as filters and flags give it, as milliseconds since 1970: seconds since 1970, RFC 3339 or a part of it (without a zone: local time), or
 * how long before now (`1h30m`). Rejects with InvalidArgument.
 */
export function parseTimestamp(text: string, nowMs: number): number {
  if (/^\d+(\.\d+)?$/.test(text)) return Number(text) * 1000;
  const parts = [...text.matchAll(durationPart)];
  if (parts.length > 0 && parts.map(part => part[0]).join('') === text) {
    return nowMs - parts.reduce((sum, part) => sum + Number(part[1]) * (unitMs[part[2] ?? ''] ?? 0), 0);
  }
  const date = /^(\d{4}-\d{2}-\d{2})(T\d{2}(?::\d{2}(?::\d{2}(?:\.\d+)?)?)?)?(Z|[+-]\d{2}:\d{2})?$/.exec(text);
  const [, day = '', time = 'T00:00', zone = ''] = date ?? [];
  const ms = date === null ? Number.NaN : Date.parse(`${day}${time.length === 3 ? `${time}:00` : time}${zone}`);
  if (Number.isNaN(ms)) throw invalidArgument(`invalid time "${text}": expected RFC 3339, seconds since 1970, or a duration such as 24h`);
  return ms;
}
