import { isSpace } from './characters.ts';

/** Looks up a variable; undefined when it is not set. */
export type Lookup = (name: string) => string | undefined;

export interface ExpandOptions {
  /** The character that takes the meaning from the next one. */
  readonly escape?: '\\' | '`';
  /** Keep quotes where they are. */
  readonly keepQuotes?: boolean;
  /** Keep escape characters where they are. */
  readonly keepEscapes?: boolean;
  /** Quotes have no meaning: for documents, where only variables count. */
  readonly ignoreQuotes?: boolean;
  /** A variable that is not set stays as written. */
  readonly keepUnset?: boolean;
}

export interface Expanded {
  readonly text: string;
  /** The text in words: split at white space that is not quoted, also where a variable's value has it. */
  readonly words: readonly string[];
  /** Variables that were looked up and set. */
  readonly matched: ReadonlySet<string>;
  /** Variables that were looked up and not set. */
  readonly unmatched: ReadonlySet<string>;
}

/** Why a text cannot be expanded. The message is the reason alone. */
export class ExpandError extends Error {}

/**
 * Removes quotes and escapes from a text and puts values for variables, as a shell does: `$name`, `${name}`, `:-` `-` `:+` `+` `:?` `?`,
 * `#` `##` `%` `%%` and `/` `//`. Throws ExpandError.
 */
export function expand(text: string, lookup: Lookup, options: ExpandOptions = {}): Expanded {
  const scanner = new Scanner(text, lookup, options);
  try {
    const { text: result, words } = scanner.readUntil(undefined, options.keepEscapes === true);
    return { text: result, words, matched: scanner.matched, unmatched: scanner.unmatched };
  } catch (err) {
    if (err instanceof ExpandError) throw new ExpandError(`failed to process ${JSON.stringify(text)}: ${err.message}`);
    throw err;
  }
}

class Words {
  readonly list: string[] = [];
  #word = '';
  #open = false;

  add(text: string): void {
    for (const char of text) {
      if (!isSpace(char)) this.addQuoted(char);
      else if (this.#open && this.#word !== '') this.#end();
    }
  }

  /** Adds a text whose white space is part of the word. */
  addQuoted(text: string): void {
    this.#word += text;
    this.#open = true;
  }

  finish(): readonly string[] {
    if (this.#word !== '') this.#end();
    return this.list;
  }

  #end(): void {
    this.list.push(this.#word);
    this.#word = '';
    this.#open = false;
  }
}

const specialParameters = new Set('@*#?-$!0');

class Scanner {
  readonly matched = new Set<string>();
  readonly unmatched = new Set<string>();
  readonly #chars: readonly string[];
  readonly #lookup: Lookup;
  readonly #escape: string;
  readonly #options: ExpandOptions;
  #at = 0;

  constructor(text: string, lookup: Lookup, options: ExpandOptions) {
    this.#chars = Array.from(text);
    this.#lookup = lookup;
    this.#escape = options.escape ?? '\\';
    this.#options = options;
  }

  /** Reads to the end, or to and over `stop`. */
  readUntil(stop: string | undefined, keepEscapes: boolean): { text: string; words: readonly string[] } {
    let text = '';
    const words = new Words();
    for (;;) {
      const char = this.#peek();
      if (char === undefined) break;
      if (char === stop) {
        this.#at += 1;
        return { text, words: words.finish() };
      }
      if (char === '$') {
        const value = this.#variable();
        text += value;
        words.add(value);
      } else if (char === '<') {
        const operator = this.#heredocOperator();
        text += operator;
        words.addQuoted(operator);
      } else if ((char === "'" || char === '"') && this.#options.ignoreQuotes !== true) {
        const quoted = char === "'" ? this.#singleQuoted() : this.#doubleQuoted(keepEscapes);
        text += quoted;
        words.addQuoted(quoted);
      } else if (char === this.#escape) {
        this.#at += 1;
        const kept = keepEscapes ? char : '';
        const escaped = this.#next();
        text += kept + (escaped ?? '');
        if (escaped !== undefined || kept !== '') words.addQuoted(kept + (escaped ?? ''));
      } else {
        this.#at += 1;
        text += char;
        words.add(char);
      }
    }
    if (stop !== undefined) throw new ExpandError(`unexpected end of statement while looking for matching ${stop}`);
    return { text, words: words.finish() };
  }

  #peek(): string | undefined {
    return this.#chars[this.#at];
  }

  #next(): string | undefined {
    const char = this.#chars[this.#at];
    if (char !== undefined) this.#at += 1;
    return char;
  }

  #singleQuoted(): string {
    const close = this.#chars.indexOf("'", this.#at + 1);
    if (close < 0) throw new ExpandError('unexpected end of statement while looking for matching single-quote');
    const inside = this.#chars.slice(this.#at + 1, close).join('');
    this.#at = close + 1;
    return this.#options.keepQuotes === true ? `'${inside}'` : inside;
  }

  #doubleQuoted(keepEscapes: boolean): string {
    const mark = this.#options.keepQuotes === true ? '"' : '';
    let inside = '';
    this.#at += 1;
    for (;;) {
      const char = this.#peek();
      if (char === undefined) throw new ExpandError('unexpected end of statement while looking for matching double-quote');
      if (char === '$') {
        inside += this.#variable();
        continue;
      }
      this.#at += 1;
      if (char === '"') return mark + inside + mark;
      if (char !== this.#escape) {
        inside += char;
        continue;
      }
      if (keepEscapes) inside += char;
      const escaped = this.#peek();
      if (escaped === undefined) continue;
      if (escaped === '"' || escaped === '$' || escaped === this.#escape) {
        inside += escaped;
        this.#at += 1;
      } else inside += char;
    }
  }

  /** Keeps `<<` and the white space after it together with the delimiter. */
  #heredocOperator(): string {
    this.#at += 1;
    if (this.#peek() !== '<') return '<';
    this.#at += 1;
    let operator = '<<';
    for (let char = this.#peek(); char === ' ' || char === '\t' || char === '\r'; char = this.#peek()) {
      operator += char;
      this.#at += 1;
    }
    return operator;
  }

  #variable(): string {
    this.#at += 1;
    if (this.#peek() !== '{') {
      const name = this.#name();
      if (name === '') return '$';
      return this.#value(name) ?? (this.#options.keepUnset === true ? `$${name}` : '');
    }
    this.#at += 1;
    const first = this.#peek();
    if (first === undefined) throw new ExpandError("syntax error: missing '}'");
    if (first === '{' || first === '}' || first === ':') throw new ExpandError('syntax error: bad substitution');
    const name = this.#name();
    const char = this.#next();
    switch (char) {
      case '}':
        return this.#value(name) ?? (this.#options.keepUnset === true ? `\${${name}}` : '');
      case ':': {
        const operator = this.#next() ?? '';
        return this.#substitution(name, operator, true);
      }
      case '/':
        return this.#replacement(name);
      default:
        return this.#substitution(name, char ?? '', false);
    }
  }

  /** `${name-word}` and its relatives, after the operator. */
  #substitution(name: string, operator: string, emptyIsUnset: boolean): string {
    if (operator === '') throw new ExpandError("syntax error: missing '}'");
    const written = `${emptyIsUnset ? ':' : ''}${operator}`;
    const isPattern = operator === '#' || operator === '%';
    if (!'+-?#%'.includes(operator) || (emptyIsUnset && isPattern)) {
      throw new ExpandError(`unsupported modifier (${written}) in substitution`);
    }
    const word = this.#wordUntil('}', isPattern);
    const value = this.#value(name);
    if (value === undefined && this.#options.keepUnset === true) return `\${${name}${written}${word}}`;
    const hasValue = value !== undefined && !(emptyIsUnset && value === '');
    switch (operator) {
      case '-':
        return hasValue ? value : word;
      case '+':
        return hasValue ? word : '';
      case '?':
        if (hasValue) return value;
        throw new ExpandError(`${name}: ${word === '' ? `is not allowed to be ${value === undefined ? 'unset' : 'empty'}` : word}`);
      default: {
        const longest = word.startsWith(operator);
        const pattern = longest ? word.slice(1) : word;
        return operator === '#' ? trimPrefix(pattern, value ?? '', longest) : trimSuffix(pattern, value ?? '', longest);
      }
    }
  }

  /** `${name/pattern/word}` and `${name//pattern/word}`, after the first slash. */
  #replacement(name: string): string {
    const all = this.#peek() === '/';
    if (all) this.#at += 1;
    const pattern = this.#wordUntil('/', true, "syntax error: missing '/' in ${}");
    const word = this.#wordUntil('}', true);
    const value = this.#value(name);
    if (value === undefined && this.#options.keepUnset === true) return `\${${name}/${all ? '/' : ''}${pattern}/${word}}`;
    const regex = new RegExp(patternSource(pattern, true, pattern), all ? 'gu' : 'u');
    return (value ?? '').replace(regex, () => word);
  }

  #wordUntil(stop: string, keepEscapes: boolean, missing = "syntax error: missing '}'"): string {
    try {
      return this.readUntil(stop, keepEscapes).text;
    } catch (err) {
      if (err instanceof ExpandError && this.#peek() === undefined) throw new ExpandError(missing);
      throw err;
    }
  }

  /** Letters, digits and `_`; a number; or one of the shell's own parameters. */
  #name(): string {
    const first = this.#peek() ?? '';
    if (/^\p{Nd}$/u.test(first)) return this.#take(/^\p{Nd}$/u);
    if (specialParameters.has(first)) {
      this.#at += 1;
      return first;
    }
    return this.#take(/^[\p{L}\p{Nd}_]$/u);
  }

  #take(allowed: RegExp): string {
    let taken = '';
    for (let char = this.#peek(); char !== undefined && allowed.test(char); char = this.#peek()) {
      taken += char;
      this.#at += 1;
    }
    return taken;
  }

  #value(name: string): string | undefined {
    const value = this.#lookup(name);
    (value === undefined ? this.unmatched : this.matched).add(name);
    return value;
  }
}

/** A regular expression for a shell pattern of `*`, `?` and escapes. */
function patternSource(pattern: string, longest: boolean, written: string): string {
  const chars = Array.from(pattern);
  let source = '';
  for (let at = 0; at < chars.length; at += 1) {
    const char = chars[at] ?? '';
    if (char === '*') source += longest ? '.*' : '.*?';
    else if (char === '?') source += '.';
    else if (char === '\\') {
      const next = chars[at + 1];
      // A brace or a slash is escaped for the sake of `${}`; the pattern itself knows nothing of it.
      if (next === '}' || next === '/') continue;
      if (next !== '*' && next !== '?' && next !== '\\') {
        throw new ExpandError(`invalid pattern (${written}) in substitution: invalid escape '\\${next ?? ''}'`);
      }
      source += `\\${next}`;
      at += 1;
    } else source += /[[\]{}.+()|^$]/.test(char) ? `\\${char}` : char;
  }
  return source;
}

function trimPrefix(pattern: string, value: string, longest: boolean, written = pattern): string {
  const found = new RegExp(`^${patternSource(pattern, longest, written)}`, 'u').exec(value);
  return found === null ? value : value.slice(found[0].length);
}

/** The shortest match at the end is the shortest at the beginning, read backwards. */
function trimSuffix(pattern: string, value: string, longest: boolean): string {
  const backwards = (pattern.match(/\\.|[^]/gsu) ?? []).reverse().join('');
  return reverse(trimPrefix(backwards, reverse(value), longest, pattern));
}

const reverse = (text: string): string => Array.from(text).reverse().join('');
