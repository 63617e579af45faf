/** Says what is wrong with a value, one line per place; nothing when it has this shape. */
export type Shape = (value: unknown, place: string) => string[];

const show = (value: unknown): string => JSON.stringify(value)?.slice(0, 80) ?? 'undefined';
const check =
  (what: string, holds: (value: unknown) => boolean): Shape =>
  (value, place) =>
    holds(value) ? [] : [`${place}: expected ${what}, got ${show(value)}`];

export const text = check('a string', value => typeof value === 'string');
export const flag = check('true or false', value => typeof value === 'boolean');
export const whole = check('a whole number', value => Number.isInteger(value));
/** 64 digits: ids of containers, networks, endpoints. */
export const hexId = check('an id', value => typeof value === 'string' && /^[0-9a-f]{64}$/.test(value));
export const digest = check('a digest', value => typeof value === 'string' && /^sha256:[0-9a-f]{64}$/.test(value));
export const time = check(
  'a time of RFC 3339',
  value => typeof value === 'string' && /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)$/.test(value),
);
export const literal = (...wanted: readonly unknown[]): Shape =>
  check(`one of ${wanted.map(show).join(', ')}`, value => wanted.includes(value));
export const matching = (pattern: RegExp): Shape => check(String(pattern), value => typeof value === 'string' && pattern.test(value));
export const anything: Shape = () => [];

export const orNull =
  (shape: Shape): Shape =>
  (value, place) =>
    value === null ? [] : shape(value, place);

export const listOf =
  (item: Shape): Shape =>
  (value, place) =>
    Array.isArray(value)
      ? value.flatMap((each, i) => item(each, `${place}[${String(i)}]`))
      : [`${place}: expected an array, got ${show(value)}`];

export const mapOf =
  (item: Shape): Shape =>
  (value, place) =>
    isObject(value)
      ? Object.entries(value).flatMap(([key, each]) => item(each, `${place}[${show(key)}]`))
      : [`${place}: expected an object, got ${show(value)}`];

/** An object with these members and no others; those of `may` can be missing. */
export const object =
  (must: Readonly<Record<string, Shape>>, may: Readonly<Record<string, Shape>> = {}): Shape =>
  (value, place) => {
    if (!isObject(value)) return [`${place}: expected an object, got ${show(value)}`];
    const missing = Object.keys(must).filter(name => !Object.hasOwn(value, name));
    return [
      ...missing.map(name => `${place}.${name} is missing`),
      ...Object.entries(value).flatMap(([name, each]) => {
        const shape = must[name] ?? may[name];
        return shape === undefined ? [`${place}.${name} is not expected: ${show(each)}`] : shape(each, `${place}.${name}`);
      }),
    ];
  };

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null && !Array.isArray(value);
