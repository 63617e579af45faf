import { splitCsv } from '#base/csv.ts';
import type { Requirements } from '../requirements.ts';

/** How the text of one kind of value is read. `parse` throws an Error whose message is the reason. */
export interface ValueType<T> {
  /** The word for a value in help texts; empty for switches. */
  readonly hint: string;
  readonly initial: T;
  /** The text that stands for the flag given alone; without it the flag needs an argument. */
  readonly bare?: string;
  /** `current` is what earlier uses of the flag made; `first` tells the default from those. */
  parse(text: string, current: T, first: boolean): T;
  /** How help shows a default worth showing. */
  showDefault?(value: T): string;
}

export interface FlagOptions<T> {
  readonly short?: string;
  readonly default?: T;
  /** Other spellings that set the same flag and do not show in help. */
  readonly also?: readonly string[];
  readonly hidden?: boolean;
  readonly requires?: Requirements;
  /** Shown when it is used. */
  readonly deprecated?: string;
  readonly hint?: string;
}

export interface Flag<T> extends FlagOptions<T> {
  readonly type: ValueType<T>;
  readonly usage: string;
}

export type Flags = Readonly<Record<string, Flag<unknown>>>;
export type FlagValues<F> = { readonly [K in keyof F]: F[K] extends Flag<infer T> ? T : never };

const maker =
  <T>(type: ValueType<T>) =>
  (usage: string, options: FlagOptions<T> = {}): Flag<T> => ({ type, usage, ...options });

/** For a kind of value of one command. */
export const flagOf = <T>(type: ValueType<T>, usage: string, options: FlagOptions<T> = {}): Flag<T> => ({ type, usage, ...options });

const truths: Readonly<Record<string, boolean>> = {
  '1': true,
  t: true,
  T: true,
  true: true,
  TRUE: true,
  True: true,
  '0': false,
  f: false,
  F: false,
  false: false,
  FALSE: false,
  False: false,
};

const quote = (text: string): string => JSON.stringify(text);

function parseBool(text: string): boolean {
  const value = truths[text];
  if (value === undefined) throw new Error(`strconv.ParseBool: parsing ${quote(text)}: invalid syntax`);
  return value;
}

export function parseInteger(text: string, func: string, min: bigint, max: bigint): number {
  const literal = /^([+-]?)(0[xX][0-9a-fA-F]+|0[oO]?[0-7]+|0[bB][01]+|[0-9]+)$/.exec(text);
  if (literal === null || (literal[1] !== '' && func === 'ParseUint'))
    throw new Error(`strconv.${func}: parsing ${quote(text)}: invalid syntax`);
  const digits = (literal[2] ?? '0').replace(/^0(?=[0-7]+$)/, '0o');
  const value = BigInt(digits) * (literal[1] === '-' ? -1n : 1n);
  if (value < min || value > max) throw new Error(`strconv.${func}: parsing ${quote(text)}: value out of range`);
  return Number(value);
}

const integer = (hint: string, bits: bigint): ValueType<number> => ({
  hint,
  initial: 0,
  parse: text => parseInteger(text, 'ParseInt', -(2n ** (bits - 1n)), 2n ** (bits - 1n) - 1n),
  showDefault: value => (value === 0 ? '' : String(value)),
});

const unsigned = (hint: string, bits: bigint): ValueType<number> => ({
  hint,
  initial: 0,
  parse: text => parseInteger(text, 'ParseUint', 0n, 2n ** bits - 1n),
  showDefault: value => (value === 0 ? '' : String(value)),
});

export const boolType: ValueType<boolean> = {
  hint: '',
  initial: false,
  bare: 'true',
  parse: parseBool,
  showDefault: value => (value ? 'true' : ''),
};
export const textType: ValueType<string> = {
  hint: 'string',
  initial: '',
  parse: text => text,
  showDefault: value => (value === '' ? '' : quote(value)),
};
export const listType: ValueType<readonly string[]> = { hint: 'list', initial: [], parse: (text, current) => [...current, text] };

export const bool = maker(boolType);
export const text = maker(textType);
/** Each use adds one value. */
export const list = maker(listType);
/** Each use adds comma-separated values. */
export const csvList = maker<readonly string[]>({
  hint: 'strings',
  initial: [],
  parse: (value, current) => [...current, ...splitCsv(value)],
});
export const int = maker(integer('int', 64n));
export const int64 = maker({ ...integer('int', 64n) });
export const uint16 = maker(unsigned('uint16', 16n));
export const uint64 = maker(unsigned('uint', 64n));

/** `key=value`; a later use of the same key wins. */
export const map = maker<Readonly<Record<string, string>>>({
  hint: 'map',
  initial: {},
  parse(value, current) {
    const [key, val] = cut(value);
    return { ...current, [key]: val ?? '' };
  },
  showDefault: () => 'map[]',
});

/** `-f key=value`. */
export const filter = maker<Readonly<Record<string, readonly string[]>>>({
  hint: 'filter',
  initial: {},
  parse(value, current) {
    if (value === '') return current;
    const [name, val] = cut(value);
    if (val === undefined) throw new Error('bad format of filter (expected name=value)');
    const key = name.trim().toLowerCase();
    const known = current[key] ?? [];
    const wanted = val.trim();
    return { ...current, [key]: known.includes(wanted) ? known : [...known, wanted] };
  },
});

/** Splits at the first `=`; the second part is undefined when there is none. */
export function cut(value: string, separator = '='): [string, string | undefined] {
  const at = value.indexOf(separator);
  return at < 0 ? [value, undefined] : [value.slice(0, at), value.slice(at + separator.length)];
}
