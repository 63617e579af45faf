import { parseDuration } from '#base/duration.ts';
import { invalidArgument, messageOf } from '#base/errors.ts';
import { parseBytes } from '#base/size.ts';

const decimalUnits = ['', 'k', 'm', 'g', 't', 'p'];

/** `10m` and `10mb` are ten million bytes. Rejects with InvalidArgument. */
export function parseDecimalSize(text: string): number {
  const match = /^(\d+(?:\.\d+)?) ?([kmgtp]?)(i?b)?$/i.exec(text);
  if (match?.[1] === undefined) throw invalidArgument(`invalid size: '${text}'`);
  return Math.floor(Number(match[1]) * 1000 ** decimalUnits.indexOf((match[2] ?? '').toLowerCase()));
}

/** `10m` and `10mb` are ten times 1,048,576 bytes. Rejects with InvalidArgument. */
export const parseBinarySize = (text: string): number => orInvalid(() => parseBytes(text));

/** Milliseconds of a Go duration such as `1.5s` or `1m30s`. Rejects with InvalidArgument in Go's words. */
export const parseDurationMs = (text: string): number => orInvalid(() => Number(parseDuration(text)) / 1e6);

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

function orInvalid<T>(parse: () => T): T {
  try {
    return parse();
  } catch (err) {
    throw invalidArgument(messageOf(err), { cause: err });
  }
}
