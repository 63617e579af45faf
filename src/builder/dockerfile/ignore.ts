import { posix } from 'node:path';
import { invalidArgument } from '#base/errors.ts';
import { trim } from './characters.ts';

/**
 * Which patterns a directory has met, for asking about what is in it without starting over. Made by `IgnoreMatcher.match`; the root of the
 * context has `undefined`.
 */
export type PathMatch = readonly boolean[] | undefined;

interface Pattern {
  readonly text: string;
  readonly isException: boolean;
  readonly matches: (path: string) => boolean;
}

/**
 * Reads an ignore file: one pattern a line, `#` in the first column begins a comment, `!` an exception. The result is what `IgnoreMatcher` and
 * file-sync take: cleaned, relative to the context.
 */
export function parseIgnoreFile(text: string): string[] {
  const patterns: string[] = [];
  for (const line of text.replace(/^\uFEFF/, '').split('\n')) {
    const written = trim(line);
    if (line.startsWith('#') || written === '') continue;
    const isException = written.startsWith('!');
    const pattern = isException ? trim(written.slice(1)) : written;
    const clean = pattern === '' ? '' : cleanPath(pattern);
    patterns.push(`${isException ? '!' : ''}${clean.length > 1 && clean.startsWith('/') ? clean.slice(1) : clean}`);
  }
  return patterns;
}

/** The name of a Dockerfile's own ignore file, which is looked for before `.dockerignore` in the context. */
export const ownIgnoreFile = (dockerfile: string): string => `${dockerfile}.dockerignore`;

/**
 * Decides what of a context is left out. The last pattern that a path or one of its directories matches counts; patterns are Go's, anchored at
 * the context, and `**` stands for any number of directories. Throws InvalidArgument for a pattern that is none.
 */
export class IgnoreMatcher {
  readonly #patterns: readonly Pattern[];
  /** Each exception by its path's parts: what may lie below a directory that is left out. */
  readonly #exceptions: readonly (readonly ((name: string) => boolean)[])[];

  constructor(patterns: readonly string[]) {
    this.#patterns = patterns
      .map(trim)
      .filter(text => text !== '')
      .map(compile);
    this.#exceptions = this.#patterns.filter(({ isException }) => isException).map(({ text }) => partsOf(text));
  }

  get isEmpty(): boolean {
    return this.#patterns.length === 0;
  }

  /** Whether a path is left out, `parent` being the match of its directory. */
  match(path: string, parent: PathMatch): { readonly isExcluded: boolean; readonly match: PathMatch } {
    const match: boolean[] = new Array<boolean>(this.#patterns.length).fill(false);
    let isExcluded = false;
    for (let index = 0; index < this.#patterns.length; index += 1) {
      const pattern = this.#patterns[index];
      if (pattern === undefined) continue;
      if (parent?.[index] !== true && (pattern.isException !== isExcluded || !pattern.matches(path))) continue;
      match[index] = true;
      isExcluded = !pattern.isException;
    }
    return { isExcluded, match };
  }

  /** Whether something below a directory that is left out may be an exception: if not, the directory need not be read. */
  mayHoldExceptions(directory: string): boolean {
    const names = directory.split('/');
    return this.#exceptions.some(parts => {
      for (const [index, name] of names.entries()) {
        const part = parts[index];
        if (part === undefined) return false;
        if (part === anyDepth) return true;
        if (!part(name)) return false;
      }
      return parts.length > names.length;
    });
  }

  /** Whether a path is left out, asked without its directories' matches. */
  isExcluded(path: string): boolean {
    const clean = cleanPath(path).replace(/^\//, '');
    let match: PathMatch;
    let isExcluded = false;
    const names = clean.split('/');
    for (let depth = 1; depth <= names.length; depth += 1) {
      ({ isExcluded, match } = this.match(names.slice(0, depth).join('/'), match));
    }
    return isExcluded;
  }

  /**
   * For the check of what `COPY` names: the source in its shortest form when the patterns leave it out for certain. With exceptions nothing is
   * certain: something below may be one.
   */
  excludedSource(source: string): string | undefined {
    if (this.#exceptions.length > 0) return undefined;
    const clean = cleanPath(source).replace(/^\/(?=.)/, '');
    if (clean === '.' || clean === '/') return this.#patterns.some(({ text }) => ['*', '**', '**/*'].includes(text)) ? clean : undefined;
    return this.isExcluded(clean) ? clean : undefined;
  }
}

/** The shortest form of a path. */
const cleanPath = (path: string): string => {
  const normal = posix.normalize(path);
  return normal.length > 1 ? normal.replace(/\/$/, '') : normal;
};

function compile(written: string): Pattern {
  const cleaned = cleanPath(written);
  const isException = cleaned.startsWith('!');
  const text = isException ? cleaned.slice(1) : cleaned;
  if (text === '') throw invalidArgument('illegal exclusion pattern: "!"');
  if (!isPattern(text)) throw invalidArgument(`syntax error in pattern "${text}"`);
  return { text, isException, matches: matcherOf(text) };
}

const special = /[*?[\]\\]/;

/** Most patterns need no regular expression. */
function matcherOf(text: string): (path: string) => boolean {
  if (!special.test(text)) return path => path === text;
  if (text === '**') return () => true;
  const body = text.slice(0, -2);
  if (text.endsWith('**') && !special.test(body)) return path => path.startsWith(body);
  const name = text.slice(3);
  if (text.startsWith('**/') && !special.test(name)) return path => path === name || path.endsWith(`/${name}`);
  const regex = new RegExp(`^${sourceOf(text)}$`, 'su');
  return path => regex.test(path);
}

function sourceOf(text: string): string {
  const chars = Array.from(text);
  let source = '';
  for (let at = 0; at < chars.length; at += 1) {
    const char = chars[at] ?? '';
    if (char === '*' && chars[at + 1] === '*') {
      at += chars[at + 2] === '/' ? 2 : 1;
      source += at === chars.length - 1 ? '.*' : '(?:.*/)?';
    } else if (char === '*') source += '[^/]*';
    else if (char === '?') source += '[^/]';
    else if (char === '[') {
      const { end, source: set } = readSet(chars, at);
      source += set;
      at = end;
    } else if (char === '\\') {
      at += 1;
      source += escapeChar(chars[at] ?? '\\');
    } else source += escapeChar(char);
  }
  return source;
}

const escapeChar = (char: string): string => (/[$()*+.?[\\\]^{|}/-]/.test(char) ? `\\${char === '-' ? 'x2d' : char}` : char);

/** `[a-z]`, `[^a\]]`; `end` is the place of the closing bracket. */
function readSet(chars: readonly string[], start: number): { end: number; source: string } {
  let at = start + 1;
  let source = '[';
  if (chars[at] === '^') {
    // A set never stands for the separator.
    source += '^/';
    at += 1;
  }
  for (let isFirst = true; chars[at] !== ']' || isFirst; isFirst = false) {
    const [low, afterLow] = readMember(chars, at);
    source += escapeChar(low);
    at = afterLow;
    if (chars[at] === '-') {
      const [high, afterHigh] = readMember(chars, at + 1);
      source = low <= high ? `${source}-${escapeChar(high)}` : source.slice(0, -escapeChar(low).length);
      at = afterHigh;
    }
  }
  return { end: at, source: `${source}]` };
}

function readMember(chars: readonly string[], at: number): [string, number] {
  return chars[at] === '\\' ? [chars[at + 1] ?? '', at + 2] : [chars[at] ?? '', at + 1];
}

/** Whether Go's path matching takes a text for a pattern. */
function isPattern(text: string): boolean {
  const chars = Array.from(text);
  for (let at = 0; at < chars.length; at += 1) {
    if (chars[at] === '\\') {
      at += 1;
      if (at >= chars.length) return false;
      continue;
    }
    if (chars[at] !== '[') continue;
    at += chars[at + 1] === '^' ? 2 : 1;
    for (let count = 0; chars[at] !== ']' || count === 0; count += 1) {
      const ends = [at];
      if (chars[at] === '-' || chars[at] === ']') return false;
      [, at] = readMember(chars, at);
      if (chars[at] === '-') {
        ends.push(at + 1);
        if (chars[at + 1] === '-' || chars[at + 1] === ']') return false;
        [, at] = readMember(chars, at + 1);
      }
      if (at >= chars.length || ends.some(end => end >= chars.length)) return false;
    }
  }
  return true;
}

const anyDepth = (): boolean => true;

/** A pattern by its path's parts; `**` ends them, for what follows can be anywhere. */
function partsOf(text: string): ((name: string) => boolean)[] {
  const parts: ((name: string) => boolean)[] = [];
  for (const part of text.split('/')) {
    if (part.includes('**')) return [...parts, anyDepth];
    parts.push(matcherOf(part));
  }
  return parts;
}
