import type { Range } from './source.ts';
import type { Token } from './statements.ts';
import { didYouMean } from './suggest.ts';

/** `once` takes a value, `many` takes one each time it is used, `switch` is `true` or `false` and true when given alone. */
export type FlagKind = 'switch' | 'once' | 'many';

export interface FlagValue {
  readonly value: string;
  readonly range: Range;
}

/** Something wrong with a part of a statement. */
export class PartError extends Error {
  readonly range: Range | undefined;

  constructor(message: string, range?: Range) {
    super(message);
    this.range = range;
  }
}

/** The flags of an instruction, checked: only those it has, each with a value it takes. */
export class InstructionFlags {
  readonly #values: ReadonlyMap<string, readonly FlagValue[]>;

  constructor(
    tokens: readonly (Token & { readonly length: number })[],
    kinds: Readonly<Record<string, FlagKind>>,
    rangeOf: (token: Token & { readonly length: number }) => Range,
  ) {
    const values = new Map<string, FlagValue[]>();
    for (const token of tokens) {
      const range = rangeOf(token);
      const [flag = '', given] = cut(token.text);
      const name = flag.slice(2);
      const kind = Object.hasOwn(kinds, name) ? kinds[name] : undefined;
      if (kind === undefined) throw new PartError(`unknown flag: ${flag}${didYouMean(name, Object.keys(kinds))}`, range);
      const earlier = values.get(name);
      if (earlier !== undefined && kind !== 'many') throw new PartError(`duplicate flag specified: ${flag}`, range);
      const value = kind === 'switch' ? readSwitch(flag, given, range) : given;
      if (value === undefined) throw new PartError(`missing a value on flag: ${flag}`, range);
      values.set(name, [...(earlier ?? []), { value, range }]);
    }
    this.#values = values;
  }

  all(name: string): readonly FlagValue[] {
    return this.#values.get(name) ?? [];
  }

  one(name: string): FlagValue | undefined {
    return this.#values.get(name)?.[0];
  }

  /** Undefined when the flag is not there or empty. */
  text(name: string): string | undefined {
    const value = this.one(name)?.value;
    return value === '' ? undefined : value;
  }

  isOn(name: string): boolean | undefined {
    const value = this.one(name);
    return value === undefined ? undefined : value.value === 'true';
  }
}

function readSwitch(flag: string, value: string | undefined, range: Range): string {
  if (value === '') throw new PartError(`missing a value on flag: ${flag}`, range);
  const given = (value ?? 'true').toLowerCase();
  if (given !== 'true' && given !== 'false') throw new PartError(`expecting boolean value for flag ${flag}, not: ${value ?? ''}`, range);
  return given;
}

function cut(text: string): [string, string | undefined] {
  const at = text.indexOf('=');
  return at < 0 ? [text, undefined] : [text.slice(0, at), text.slice(at + 1)];
}
