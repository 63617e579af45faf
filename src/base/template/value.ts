import { structFields, zeroOf } from './shapes.ts';

/** What a template can reach through a dot when it is not plain JSON: named fields, and methods that take arguments. */
export class Struct {
  /** The name of the Go type that errors speak of. */
  readonly typeName: string;
  readonly #fields: Readonly<Record<string, () => unknown>>;
  readonly #methods: Readonly<Record<string, (...args: readonly string[]) => unknown>>;
  readonly #jsonFields: Readonly<Record<string, () => unknown>>;

  /** `jsonFields` are those that read otherwise in JSON. */
  constructor(
    typeName: string,
    fields: Readonly<Record<string, () => unknown>>,
    methods: Readonly<Record<string, (...args: readonly string[]) => unknown>> = {},
    jsonFields: Readonly<Record<string, () => unknown>> = {},
  ) {
    this.typeName = typeName;
    this.#fields = fields;
    this.#methods = methods;
    this.#jsonFields = jsonFields;
  }

  has(name: string): boolean {
    return Object.hasOwn(this.#fields, name) || Object.hasOwn(this.#methods, name);
  }

  method(name: string): ((...args: readonly string[]) => unknown) | undefined {
    return Object.hasOwn(this.#methods, name) ? this.#methods[name] : undefined;
  }

  get(name: string): unknown {
    return this.#fields[name]?.();
  }

  /** The fields, in the order of their names as `json` shows them. */
  toJSON(): Record<string, unknown> {
    return Object.fromEntries(
      Object.keys(this.#fields)
        .toSorted()
        .map(name => [name, (this.#jsonFields[name] ?? this.#fields[name])?.()]),
    );
  }
}

export const isMap = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Struct);

/** A value as Go's `%v` prints it. Null is a pointer to nothing, undefined what is not there at all. */
export function printValue(value: unknown): string {
  if (value === undefined) return '<no value>';
  return printInner(value);
}

function printInner(value: unknown): string {
  if (value === null || value === undefined) return '<nil>';
  if (typeof value === 'string') return value;
  if (typeof value === 'number') return printNumber(value);
  if (Array.isArray(value)) return `[${value.map(printInner).join(' ')}]`;
  if (value instanceof Struct) return `{${Object.values(value.toJSON()).map(printInner).join(' ')}}`;
  if (isMap(value)) {
    const fields = structFields(value);
    if (fields !== undefined) return `{${fields.map(name => printField(value, name)).join(' ')}}`;
    const entries = Object.keys(value).toSorted();
    return `map[${entries.map(key => `${key}:${printInner(value[key])}`).join(' ')}]`;
  }
  return String(value);
}

/** A field of a struct. One that JSON leaves out is empty, false or 0: which of them nobody can tell, so it prints as nothing. */
function printField(owner: Readonly<Record<string, unknown>>, name: string): string {
  const value = owner[name] ?? zeroOf(owner, name);
  return value === undefined ? '' : printInner(value);
}

function printNumber(value: number): string {
  if (Number.isInteger(value)) return BigInt(value).toString();
  const magnitude = Math.abs(value);
  if (magnitude >= 1e-4 && magnitude < 1e21) return String(value);
  const [mantissa = '', exponent = '0'] = value.toExponential().split('e');
  const power = Number(exponent);
  return `${mantissa}e${power < 0 ? '-' : '+'}${String(Math.abs(power)).padStart(2, '0')}`;
}

/** What `if` and `and` take for true. */
export function isTrue(value: unknown): boolean {
  if (value === undefined || value === null || value === false || value === 0 || value === 0n || value === '') return false;
  if (Array.isArray(value)) return value.length > 0;
  if (isMap(value)) return Object.keys(value).length > 0;
  return true;
}

/** The Go type that errors name. */
export function typeOf(value: unknown): string {
  if (value === undefined || value === null) return '<nil>';
  if (typeof value === 'string') return 'string';
  if (typeof value === 'boolean') return 'bool';
  if (typeof value === 'number') return Number.isInteger(value) ? 'int' : 'float64';
  if (typeof value === 'bigint') return 'int';
  if (Array.isArray(value)) return '[]interface {}';
  if (value instanceof Struct) return value.typeName;
  return 'map[string]interface {}';
}

/** JSON without line breaks; wire types keep the order of their fields. What lists make of an object is escaped for HTML, as Go does by default. */
export function toJson(value: unknown): string {
  const text = JSON.stringify(value === undefined ? null : value, (_key, inner: unknown) =>
    typeof inner === 'bigint' ? Number(inner) : inner,
  );
  if (!(value instanceof Struct)) return text;
  return escapeHtml(text);
}

/** JSON that can stand in a web page. */
export const escapeHtml = (json: string): string =>
  json.replace(/[<>&\u2028\u2029]/g, char => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`);
