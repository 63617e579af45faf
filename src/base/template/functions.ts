import { sprintf } from './printf.ts';
import { isMap, isTrue, printValue, toJson, typeOf } from './value.ts';

export type TemplateFunction = (...args: readonly unknown[]) => unknown;

interface Signature {
  readonly least: number;
  readonly most?: number;
  readonly call: TemplateFunction;
}

const fail = (message: string): never => {
  throw new Error(message);
};

const string = (value: unknown): string =>
  typeof value === 'string' ? value : fail(`wrong type for value; expected string; got ${typeOf(value)}`);
const integer = (value: unknown): number =>
  typeof value === 'number' && Number.isInteger(value) ? value : fail(`wrong type for value; expected int; got ${typeOf(value)}`);

const exactly = (count: number, call: TemplateFunction): Signature => ({ least: count, most: count, call });
const atLeast = (count: number, call: TemplateFunction): Signature => ({ least: count, call });

/** The kinds that Go can compare with each other. */
function comparable(value: unknown): 'string' | 'number' | 'bool' | 'nil' | 'other' {
  if (value === undefined || value === null) return 'nil';
  if (typeof value === 'string') return 'string';
  if (typeof value === 'number' || typeof value === 'bigint') return 'number';
  return typeof value === 'boolean' ? 'bool' : 'other';
}

function equal(a: unknown, b: unknown): boolean {
  const [left, right] = [comparable(a), comparable(b)];
  if (left === 'nil' || right === 'nil') return left === right;
  if (left === 'other' || right === 'other') return fail('non-comparable type');
  if (left !== right) return fail('incompatible types for comparison');
  return a === b || (left === 'number' && Number(a) === Number(b));
}

function less(a: unknown, b: unknown): boolean {
  const [left, right] = [comparable(a), comparable(b)];
  if (left !== right) return fail('incompatible types for comparison');
  if (left === 'string') return Buffer.compare(Buffer.from(a as string), Buffer.from(b as string)) < 0;
  if (left === 'number') return Number(a) < Number(b);
  return fail('invalid type for comparison');
}

function index(item: unknown, keys: readonly unknown[]): unknown {
  let value = item;
  for (const key of keys) {
    if (value === undefined || value === null) fail('index of untyped nil');
    if (Array.isArray(value) || typeof value === 'string') {
      if (typeof key !== 'number') fail(`cannot index slice/array with type ${typeOf(key)}`);
      const at = integer(key);
      if (at < 0 || at >= value.length) fail(`index out of range: ${at}`);
      value = typeof value === 'string' ? value.charCodeAt(at) : value[at];
    } else if (isMap(value)) {
      if (typeof key !== 'string') fail(`value has type ${typeOf(key)}; should be string`);
      value = Object.hasOwn(value, string(key)) ? value[string(key)] : '';
    } else fail(`can't index item of type ${typeOf(value)}`);
  }
  return value;
}

function slice(item: unknown, bounds: readonly unknown[]): unknown {
  if (item === undefined || item === null) return fail('slice of untyped nil');
  if (!Array.isArray(item) && typeof item !== 'string') return fail(`can't slice item of type ${typeOf(item)}`);
  if (bounds.length > 3) return fail(`too many slice indexes: ${bounds.length}`);
  const from = bounds[0] === undefined ? 0 : integer(bounds[0]);
  const to = bounds[1] === undefined ? item.length : integer(bounds[1]);
  for (const bound of [from, to]) if (bound < 0 || bound > item.length) fail(`index out of range: ${bound}`);
  if (from > to) fail(`invalid slice index: ${from} > ${to}`);
  return item.slice(from, to);
}

function length(value: unknown): number {
  if (value === undefined || value === null) return fail('len of nil pointer');
  if (typeof value === 'string') return Buffer.byteLength(value);
  if (Array.isArray(value)) return value.length;
  return isMap(value) ? Object.keys(value).length : fail(`len of type ${typeOf(value)}`);
}

/** Go's fmt.Sprint: a space between two neighbours that are no strings. */
function sprint(args: readonly unknown[]): string {
  let out = '';
  for (const [i, value] of args.entries()) {
    if (i > 0 && typeof value !== 'string' && typeof args[i - 1] !== 'string') out += ' ';
    out += value === undefined || value === null ? '<nil>' : printValue(value);
  }
  return out;
}

const htmlEscapes: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&#34;',
  "'": '&#39;',
  '\0': '\uFFFD',
};

/** Title case, a word at a time, as Go's strings.Title. */
const title = (text: string): string =>
  text.replace(/(^|[^\p{L}\p{N}_'])(\p{L})/gu, (_all, before: string, letter: string) => before + letter.toUpperCase());

/** The first so many characters. */
const truncate = (text: string, most: number): string => ([...text].length <= most ? text : [...text].slice(0, most).join(''));

const padded = (text: string, before: number, after: number): string => (text === '' ? '' : ' '.repeat(before) + text + ' '.repeat(after));

/** What Go's text/template has built in, but for `and` and `or`, which do not evaluate all their arguments. */
const builtins: Readonly<Record<string, Signature>> = {
  and: atLeast(1, (...args) => args.find(value => !isTrue(value)) ?? args.at(-1)),
  or: atLeast(1, (...args) => args.find(isTrue) ?? args.at(-1)),
  not: exactly(1, value => !isTrue(value)),
  len: exactly(1, length),
  index: atLeast(1, (item, ...keys) => index(item, keys)),
  slice: atLeast(1, (item, ...bounds) => slice(item, bounds)),
  print: atLeast(0, (...args) => sprint(args)),
  printf: atLeast(1, (format, ...args) => sprintf(string(format), args)),
  println: atLeast(
    0,
    (...args) => `${args.map(value => (value === undefined || value === null ? '<nil>' : printValue(value))).join(' ')}\n`,
  ),
  html: atLeast(0, (...args) => sprint(args).replace(/[&<>"'\0]/g, char => htmlEscapes[char] ?? char)),
  js: atLeast(0, (...args) => toJson(sprint(args)).slice(1, -1).replaceAll("'", "\\'")),
  urlquery: atLeast(0, (...args) => encodeURIComponent(sprint(args)).replaceAll('%20', '+')),
  call: atLeast(1, fn => fail(`error calling call: non-function of type ${typeOf(fn)}`)),
  eq: atLeast(1, (first, ...others) =>
    others.length === 0 ? fail('missing argument for comparison') : others.some(other => equal(first, other)),
  ),
  ne: exactly(2, (a, b) => !equal(a, b)),
  lt: exactly(2, less),
  le: exactly(2, (a, b) => less(a, b) || equal(a, b)),
  gt: exactly(2, (a, b) => !less(a, b) && !equal(a, b)),
  ge: exactly(2, (a, b) => !less(a, b)),
};

/** What the command line adds. */
const ours: Readonly<Record<string, Signature>> = {
  json: exactly(1, value => toJson(value)),
  split: exactly(2, (value, separator) => string(value).split(string(separator))),
  join: exactly(2, (values, separator) =>
    (Array.isArray(values)
      ? values
      : values === null || values === undefined
        ? []
        : fail(`wrong type for value; expected []string; got ${typeOf(values)}`)
    )
      .map(printValue)
      .join(string(separator)),
  ),
  title: exactly(1, value => title(string(value))),
  lower: exactly(1, value => string(value).toLowerCase()),
  upper: exactly(1, value => string(value).toUpperCase()),
  pad: exactly(3, (value, before, after) => padded(string(value), integer(before), integer(after))),
  truncate: exactly(2, (value, most) => truncate(string(value), integer(most))),
};

/** In the header of a table these leave the heading as it is: they are about values. */
const inHeader: Readonly<Record<string, Signature>> = {
  json: exactly(1, value => value),
  split: exactly(2, value => value),
  join: exactly(2, value => value),
  title: exactly(1, value => value),
  lower: exactly(1, value => value),
  upper: exactly(1, value => value),
  truncate: exactly(2, value => value),
};

export type FunctionTable = Readonly<Record<string, Signature>>;

export const valueFunctions: FunctionTable = { ...builtins, ...ours };
export const headerFunctions: FunctionTable = { ...valueFunctions, ...inHeader };

/** Calls a function of the table with the checks that Go makes. */
export function callFunction(table: FunctionTable, name: string, args: readonly unknown[]): unknown {
  const signature = table[name] ?? fail(`${JSON.stringify(name)} is not a defined function`);
  const { least, most } = signature;
  if (args.length < least || (most !== undefined && args.length > most)) {
    fail(`wrong number of args for ${name}: want ${most === least ? least : `at least ${least}`} got ${args.length}`);
  }
  try {
    return signature.call(...args);
  } catch (err) {
    throw new Error(`error calling ${name}: ${err instanceof Error ? err.message : String(err)}`, { cause: err });
  }
}
