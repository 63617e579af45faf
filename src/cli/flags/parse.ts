import { FlagError } from '../errors.ts';
import type { Flag, Flags, FlagValues } from './flag.ts';

export interface Parsed<F> {
  readonly flags: FlagValues<F>;
  readonly args: readonly string[];
  /** The flags that were given, by their names. */
  readonly changed: ReadonlySet<string>;
  /** Sentences about deprecated flags that were used. */
  readonly notices: readonly string[];
  readonly help: boolean;
}

export interface ParseOptions {
  /** False: the first word that is no flag ends them, as for commands that carry another command. */
  readonly interspersed?: boolean;
}

/**
 * Parses as Go's pflag does: `--name value`, `--name=value`, `-n value`, `-nvalue`, `-abc`, `--` ends the flags. Rejects with FlagError. `--help` ends
 * parsing with `help` set.
 */
export function parseFlags<F extends Flags>(spec: F, argv: readonly string[], options: ParseOptions = {}): Parsed<F> {
  const parser = new Parser(spec, options.interspersed ?? true);
  parser.run(argv);
  return parser as unknown as Parsed<F>;
}

class Parser {
  readonly flags: Record<string, unknown> = {};
  readonly args: string[] = [];
  readonly changed = new Set<string>();
  readonly notices: string[] = [];
  help = false;
  readonly #byName = new Map<string, string>();
  readonly #byShort = new Map<string, string>();
  readonly #spec: Flags;
  readonly #interspersed: boolean;

  constructor(spec: Flags, interspersed: boolean) {
    this.#spec = spec;
    this.#interspersed = interspersed;
    for (const [name, flag] of Object.entries(spec)) {
      this.flags[name] = flag.default ?? flag.type.initial;
      this.#byName.set(name, name);
      for (const other of flag.also ?? []) this.#byName.set(other, name);
      if (flag.short !== undefined) this.#byShort.set(flag.short, name);
    }
  }

  run(argv: readonly string[]): void {
    const rest = [...argv];
    for (let word = rest.shift(); word !== undefined && !this.help; word = rest.shift()) {
      if (word === '--') {
        this.args.push(...rest);
        return;
      }
      if (word.startsWith('--')) this.#long(word, rest);
      else if (word.startsWith('-') && word.length > 1) this.#short(word, rest);
      else {
        this.args.push(word);
        if (this.#interspersed) continue;
        this.args.push(...rest);
        return;
      }
    }
  }

  #long(word: string, rest: string[]): void {
    const body = word.slice(2);
    if (body.startsWith('-') || body.startsWith('=')) throw new FlagError(`bad flag syntax: ${word}`);
    const equals = body.indexOf('=');
    const given = equals < 0 ? body : body.slice(0, equals);
    const name = this.#byName.get(given);
    const flag = name === undefined ? undefined : this.#spec[name];
    if (name === undefined || flag === undefined) {
      if (given !== 'help') throw new FlagError(`unknown flag: --${given}`);
      this.help = true;
      return;
    }
    if (equals >= 0) this.#set(name, flag, body.slice(equals + 1));
    else if (flag.type.bare !== undefined) this.#set(name, flag, flag.type.bare);
    else {
      const value = rest.shift();
      if (value === undefined) throw new FlagError(`flag needs an argument: --${given}`);
      this.#set(name, flag, value);
    }
  }

  #short(word: string, rest: string[]): void {
    let letters = word.slice(1);
    while (letters !== '') {
      const letter = letters.slice(0, 1);
      const name = this.#byShort.get(letter);
      const flag = name === undefined ? undefined : this.#spec[name];
      if (name === undefined || flag === undefined) {
        if (letter !== 'h') throw new FlagError(`unknown shorthand flag: '${letter}' in -${letters}`);
        this.notices.push('Flag shorthand -h has been deprecated, use --help');
        this.help = true;
        return;
      }
      if (letters.length > 2 && letters[1] === '=') {
        this.#set(name, flag, letters.slice(2));
        return;
      }
      if (flag.type.bare !== undefined) {
        this.#set(name, flag, flag.type.bare);
        letters = letters.slice(1);
        continue;
      }
      const value = letters.length > 1 ? letters.slice(1) : rest.shift();
      if (value === undefined) throw new FlagError(`flag needs an argument: '${letter}' in -${letters}`);
      this.#set(name, flag, value);
      return;
    }
  }

  #set(name: string, flag: Flag<unknown>, text: string): void {
    try {
      this.flags[name] = flag.type.parse(text, this.flags[name] as never, !this.changed.has(name));
    } catch (err) {
      const shown = flag.short === undefined ? `--${name}` : `-${flag.short}, --${name}`;
      throw new FlagError(
        `invalid argument ${JSON.stringify(text)} for "${shown}" flag: ${err instanceof Error ? err.message : String(err)}`,
        { cause: err },
      );
    }
    this.changed.add(name);
    if (flag.deprecated !== undefined) this.notices.push(`Flag --${name} has been deprecated, ${flag.deprecated}`);
  }
}
