import { dataLoss } from '#base/errors.ts';
import type { TarTime } from './entry.ts';

/** PAX records by keyword. Values are bytes: names and extended attributes need not be text. */
export type PaxRecords = Map<string, Uint8Array>;

const latin1 = new TextDecoder('latin1');
const utf8 = new TextDecoder();
const encoder = new TextEncoder();

export const xattrPrefix = 'SCHILY.xattr.';

/**
 * Parses the body of an extended header: records of the form `<length> <keyword>=<value>\n` (POSIX pax, pax Extended Header). The keywords of the
 * oldest GNU sparse format come several times, in pairs; they are handed to `repeated` in their order.
 */
export function parsePax(body: Uint8Array, where: string, repeated?: (keyword: string, value: Uint8Array) => void): PaxRecords {
  const records: PaxRecords = new Map();
  let at = 0;
  while (at < body.length && body[at] !== 0) {
    const space = body.indexOf(0x20, at);
    const length = space === -1 ? Number.NaN : Number(latin1.decode(body.subarray(at, space)));
    const end = at + length;
    const equals = body.indexOf(0x3d, space);
    if (!Number.isSafeInteger(length) || end > body.length || body[end - 1] !== 0x0a || equals === -1 || equals >= end) {
      throw dataLoss(`damaged tar archive: malformed PAX record ${where}`);
    }
    const keyword = utf8.decode(body.subarray(space + 1, equals));
    const value = body.slice(equals + 1, end - 1);
    if (repeated !== undefined && (keyword === 'GNU.sparse.offset' || keyword === 'GNU.sparse.numbytes')) repeated(keyword, value);
    else records.set(keyword, value);
    at = end;
  }
  return records;
}

/** One record; the length counts itself, which may change its own number of digits. */
export function formatPaxRecord(keyword: string, value: Uint8Array): Uint8Array {
  const tail = encoder.encode(` ${keyword}=`);
  const fixed = tail.length + value.length + 1;
  let length = fixed + String(fixed).length;
  length = fixed + String(length).length;
  const head = encoder.encode(String(length));
  const record = new Uint8Array(length);
  record.set(head, 0);
  record.set(tail, head.length);
  record.set(value, head.length + tail.length);
  record[length - 1] = 0x0a;
  return record;
}

export function paxNumber(value: Uint8Array, keyword: string, where: string): number {
  const text = utf8.decode(value);
  const number = Number(text);
  if (!/^-?\d+$/.test(text) || !Number.isSafeInteger(number)) {
    throw dataLoss(`damaged tar archive: the PAX value ${keyword}=${text} is not a usable number ${where}`);
  }
  return number;
}

/** `1700000000.123456789`, also negative; digits past the nanosecond are dropped. */
export function parsePaxTime(value: Uint8Array, where: string): TarTime {
  const text = utf8.decode(value);
  const match = /^(-?)(\d+)(?:\.(\d*))?$/.exec(text);
  const seconds = Number(match?.[2]);
  if (match === null || !Number.isSafeInteger(seconds)) {
    throw dataLoss(`damaged tar archive: the PAX time "${text}" is not a usable number ${where}`);
  }
  const nanoseconds = Number((match[3] ?? '').slice(0, 9).padEnd(9, '0'));
  if (match[1] !== '-') return { seconds, nanoseconds };
  return nanoseconds === 0
    ? { seconds: seconds === 0 ? 0 : -seconds, nanoseconds: 0 }
    : { seconds: -seconds - 1, nanoseconds: 1e9 - nanoseconds };
}

export function formatPaxTime(time: TarTime): string {
  const { seconds, nanoseconds } = time;
  if (nanoseconds === 0) return String(seconds);
  const negative = seconds < 0;
  const whole = negative ? -seconds - 1 : seconds;
  const fraction = (negative ? 1e9 - nanoseconds : nanoseconds).toString().padStart(9, '0').replace(/0+$/, '');
  return `${negative ? '-' : ''}${String(whole)}.${fraction}`;
}
