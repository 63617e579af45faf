import { invalidArgument } from '#base/errors.ts';

const falseWords = new Set(['', '0', 'no', 'false', 'none']);

/** True for everything but ``, `0`, `no`, `false` and `none`: `?all=foo` means all. */
export const parseBool = (text: string): boolean => !falseWords.has(text.trim().toLowerCase());

/** A whole number. Rejects with InvalidArgument in Go's words, which clients print. */
export function parseInteger(text: string): number {
  if (!/^[+-]?\d+$/.test(text)) throw invalidArgument(`strconv.Atoi: parsing ${JSON.stringify(text)}: invalid syntax`);
  const value = Number(text);
  if (!Number.isSafeInteger(value)) throw invalidArgument(`strconv.Atoi: parsing ${JSON.stringify(text)}: value out of range`);
  return value;
}

/** The parameters of a request, from its query string. Parsed only when something asks. */
export class Query {
  readonly #text: string;
  #parsed: URLSearchParams | undefined;

  constructor(text: string) {
    this.#text = text;
  }

  get #params(): URLSearchParams {
    this.#parsed ??= new URLSearchParams(this.#text);
    return this.#parsed;
  }

  has(name: string): boolean {
    return this.#params.has(name);
  }

  /** The first value; empty when there is none. */
  text(name: string): string {
    return this.#params.get(name) ?? '';
  }

  /** Undefined when absent or empty. */
  optional(name: string): string | undefined {
    const value = this.text(name);
    return value === '' ? undefined : value;
  }

  list(name: string): string[] {
    return this.#params.getAll(name);
  }

  /** `otherwise` when absent. */
  bool(name: string, otherwise = false): boolean {
    const value = this.#params.get(name);
    return value === null ? otherwise : parseBool(value);
  }

  /** Undefined when absent or empty; rejects with InvalidArgument when it is not a whole number. */
  integer(name: string): number | undefined {
    const value = this.optional(name);
    return value === undefined ? undefined : parseInteger(value);
  }

  /** A terminal's height or width, which must be there. */
  size(name: string): number {
    const value = this.text(name);
    const parsed = /^\d+$/.test(value) ? Number(value) : Number.NaN;
    if (!(parsed <= 0xffff_ffff)) {
      throw invalidArgument(`invalid resize parameter ${name}=${JSON.stringify(value)}: expected a whole number of character cells`);
    }
    return parsed;
  }

  /** A moment: seconds since 1970 with up to nine decimals, as nanoseconds. Undefined when absent, empty or 0. */
  moment(name: string): bigint | undefined {
    const value = this.optional(name);
    if (value === undefined) return undefined;
    const nano = parseMoment(value);
    if (nano === undefined) {
      throw invalidArgument(
        `invalid value ${JSON.stringify(value)} for "${name}": expected seconds since 1970 such as 1700000000.000000000`,
      );
    }
    return nano === 0n ? undefined : nano;
  }
}

/** Nanoseconds from `seconds[.fraction]`; undefined when it is not that. */
export function parseMoment(text: string): bigint | undefined {
  const match = /^(-?\d{1,15})(?:\.(\d{1,9}))?$/.exec(text);
  if (match?.[1] === undefined) return undefined;
  const seconds = BigInt(match[1]) * 1_000_000_000n;
  const fraction = BigInt((match[2] ?? '').padEnd(9, '0'));
  return match[1].startsWith('-') ? seconds - fraction : seconds + fraction;
}
