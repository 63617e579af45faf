import { ExitError } from '../errors.ts';
import { parseDuration } from '#base/duration.ts';

/** A duration ago (`42m`), a date as RFC 3339 or a part of it in the zone of this machine, or seconds since 1970: the latter, with a fraction. `what` begins errors. */
export function toTimestamp(value: string, what: string, nowMs = Date.now()): string {
  const ago = tryDuration(value);
  if (ago !== undefined) return seconds(BigInt(nowMs) * 1_000_000n - ago);
  if (/^\d+(\.\d{1,9})?$/.test(value)) return value;
  const date = /^(\d{4}-\d\d-\d\d)(?:T(\d\d(?::\d\d(?::\d\d)?)?)(?:\.(\d{1,9}))?)?(Z|[+-]\d\d:\d\d)?$/.exec(value);
  const time = date?.[2] ?? '00';
  const full = date === null ? Number.NaN : Date.parse(`${date[1]}T${time.padEnd(8, ':00:00'.slice(time.length - 2))}${date[4] ?? ''}`);
  if (date === null || Number.isNaN(full))
    throw new ExitError(1, `${what}failed to parse value as time or duration: ${JSON.stringify(value)}`);
  return `${Math.floor(full / 1000)}.${(date[3] ?? '').padEnd(9, '0')}`;
}

function tryDuration(value: string): bigint | undefined {
  if (!/[a-zµμ]$/.test(value)) return undefined;
  try {
    return parseDuration(value);
  } catch {
    return undefined;
  }
}

const seconds = (nanos: bigint): string => `${nanos / 1_000_000_000n}.${String(nanos % 1_000_000_000n).padStart(9, '0')}`;
