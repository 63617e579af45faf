import { isUtf8 } from 'node:buffer';

/** Characters that Docker's driver writes as they are: printable ASCII without those that mean something to JSON or HTML. */
const plain = /^[ !#-%'-;=?-[\]-\x7f]*$/;

/** Text with a byte per character as the inside of a JSON string, in the same form, as Docker's driver writes it. */
export function escapeText(text: string): string {
  if (plain.test(text)) return text;
  const bytes = Buffer.from(text, 'latin1');
  const known = isUtf8(bytes) ? bytes.toString('utf8') : markInvalid(bytes);
  const escaped = known.replace(special, character => escapes.get(character) ?? unicodeEscape(character));
  return Buffer.from(escaped, 'utf8').toString('latin1');
}

// What is not UTF-8 stands as this until it is escaped: no text has a lone surrogate.
const invalidMark = '\ud800';
const special = /["\\<>&\x00-\x1f\u2028\u2029\ud800]/g;

const escapes: ReadonlyMap<string, string> = new Map([
  ['"', '\\"'],
  ['\\', '\\\\'],
  ['\n', '\\n'],
  ['\r', '\\r'],
  [invalidMark, '\\ufffd'],
]);

const unicodeEscape = (character: string): string => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;

/** Each byte that is not part of a valid sequence is marked by itself. */
function markInvalid(bytes: Buffer): string {
  let known = '';
  for (let at = 0; at < bytes.length; ) {
    const length = sequenceLength(bytes, at);
    known += length === 0 ? invalidMark : bytes.toString('utf8', at, at + length);
    at += Math.max(length, 1);
  }
  return known;
}

/** Bytes of the UTF-8 sequence here; 0 when there is none. */
function sequenceLength(bytes: Buffer, at: number): number {
  const first = bytes[at] ?? 0;
  if (first < 0x80) return 1;
  const length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : first >= 0xc0 ? 2 : 0;
  return length > 0 && at + length <= bytes.length && isUtf8(bytes.subarray(at, at + length)) ? length : 0;
}

/** The digits of a second without zeros at the end, as Go writes times. */
export function trimTime(time: string): string {
  let end = time.length;
  while (time.charCodeAt(end - 1) === 0x30) end -= 1;
  return time.charCodeAt(end - 1) === 0x2e ? time.slice(0, end - 1) : time.slice(0, end);
}
