import { invalidArgument } from '#base/errors.ts';

/**
 * Turns a parsed JSON value into a T, or rejects with InvalidArgument naming the place and the value. Decoding follows what clients are used to:
 * null means unset, unknown fields are ignored, names match in any case.
 */
export type Decoder<T> = (value: unknown, place: string) => T;

type Fields<T> = { readonly [K in keyof T]-?: Decoder<Exclude<T[K], undefined | null>> };

/** Reads the text of a request body. */
export function decodeJson<T>(text: string, decoder: Decoder<T>, name: string): T {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (err) {
    throw invalidArgument(`invalid JSON: ${err instanceof Error ? err.message : String(err)}`, { cause: err });
  }
  return decoder(value, name);
}

export const string: Decoder<string> = (value, place) => (typeof value === 'string' ? value : wrong(value, place, 'a string'));

export const boolean: Decoder<boolean> = (value, place) => (typeof value === 'boolean' ? value : wrong(value, place, 'true or false'));

/** A whole number. Numbers beyond 2^53 lose their last digits, which only limits meaning "everything" have. */
export const integer: Decoder<number> = (value, place) =>
  typeof value === 'number' && Number.isInteger(value) ? value : wrong(value, place, 'a whole number');

export const unsigned: Decoder<number> = (value, place) =>
  typeof value === 'number' && Number.isInteger(value) && value >= 0 ? value : wrong(value, place, 'a whole number from 0 up');

/** Any value, kept as it is. */
export const anything: Decoder<unknown> = value => value;

/** The members of a set are keys with an empty object each: `{"80/tcp":{}}`. */
export const keySet: Decoder<Record<string, object>> = (value, place) =>
  map((member): object => asObject(member ?? {}, place))(value, place);

export const list =
  <T>(item: Decoder<T>): Decoder<T[]> =>
  (value, place) =>
    Array.isArray(value) ? value.map((each, i) => item(each, `${place}[${i}]`)) : wrong(value, place, 'an array');

/** An array of strings, or one string that stands for an array of one. */
export const stringOrList: Decoder<string[]> = (value, place) => (typeof value === 'string' ? [value] : list(string)(value, place));

export const map =
  <T>(item: Decoder<T>): Decoder<Record<string, T>> =>
  (value, place) => {
    const decoded: Record<string, T> = {};
    for (const [key, each] of Object.entries(asObject(value, place))) put(decoded, key, item(each, `${place}[${JSON.stringify(key)}]`));
    return decoded;
  };

export const nullable =
  <T>(item: Decoder<T>): Decoder<T | null> =>
  (value, place) =>
    value === null ? null : item(value, place);

/** An object with these fields, all of which may be missing. */
export function object<T extends object>(fields: Fields<T>): Decoder<T> {
  const byLowerCase = new Map(Object.keys(fields).map(name => [name.toLowerCase(), name]));
  return (value, place) => {
    const decoded: Record<string, unknown> = {};
    for (const [key, each] of Object.entries(asObject(value, place))) {
      const name = Object.hasOwn(fields, key) ? key : byLowerCase.get(key.toLowerCase());
      if (name === undefined || each === null || each === undefined) continue;
      decoded[name] = (fields[name as keyof T] as Decoder<unknown>)(each, `${place}.${name}`);
    }
    return decoded as T;
  };
}

function asObject(value: unknown, place: string): Record<string, unknown> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  return wrong(value, place, 'an object');
}

/** A key named `__proto__` is a key like any other. */
function put<T>(target: Record<string, T>, key: string, value: T): void {
  if (key === '__proto__') Object.defineProperty(target, key, { value, enumerable: true, configurable: true, writable: true });
  else target[key] = value;
}

function wrong(value: unknown, place: string, expected: string): never {
  const kind = value === null ? 'null' : Array.isArray(value) ? 'array' : typeof value;
  const shown = JSON.stringify(value) ?? '';
  const text = kind === 'null' ? '' : ` ${shown.length > 80 ? `${shown.slice(0, 80)}…` : shown}`;
  throw invalidArgument(`invalid JSON: json: cannot unmarshal ${kind}${text} into field ${place}: expected ${expected}`);
}
