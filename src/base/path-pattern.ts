import { invalidArgument } from './errors.ts';

/**
 * Patterns for paths as Go's filepath.Match has them (`*`, `?`, `[a-z]`, `\x`; none crosses a slash), with `**` for any number of directories
 * where it is allowed.
 */

/** Whether a text has anything but literal characters. */
export const hasWildcard = (pattern: string): boolean => /[*?[\\]/.test(pattern);

/** A regular expression for one part of a path. Rejects with InvalidArgument `syntax error in pattern`. */
export function segmentRegExp(segment: string): RegExp {
  return new RegExp(`^${segmentSource(segment)}$`, 's');
}

function segmentSource(segment: string): string {
  let source = '';
  for (let at = 0; at < segment.length; at += 1) {
    const char = segment.charAt(at);
    if (char === '*') source += '[^/]*';
    else if (char === '?') source += '[^/]';
    else if (char === '[') {
      const { text, end } = classSource(segment, at);
      source += text;
      at = end;
    } else if (char === '\\') {
      at += 1;
      if (at >= segment.length) throw badPattern(segment);
      source += literal(segment.charAt(at));
    } else source += literal(char);
  }
  return source;
}

function classSource(segment: string, start: number): { text: string; end: number } {
  let at = start + 1;
  let text = '';
  const isNegated = segment.charAt(at) === '^';
  if (isNegated) at += 1;
  const one = (): string => {
    let char = segment.charAt(at);
    if (char === '\\') {
      at += 1;
      char = segment.charAt(at);
    } else if (char === '-' || char === ']') throw badPattern(segment);
    if (char === '') throw badPattern(segment);
    at += 1;
    return char.replace(/[\\\]^-]/g, '\\$&');
  };
  while (segment.charAt(at) !== ']' || text === '') {
    const low = one();
    if (segment.charAt(at) !== '-') {
      text += low;
      continue;
    }
    at += 1;
    text += `${low}-${one()}`;
  }
  return { text: `[${isNegated ? '^/' : ''}${text}]`, end: at };
}

const literal = (char: string): string => char.replace(/[.*+?^${}()|[\]\\/]/g, '\\$&');
const badPattern = (pattern: string): Error => invalidArgument(`syntax error in pattern: ${JSON.stringify(pattern)}`);

interface Rule {
  readonly matcher: RegExp;
  readonly isException: boolean;
}

/** A list of patterns as in a .dockerignore file: the last one that matches a path or a directory above it counts, `!` takes a path out again. */
export class PathPatterns {
  readonly #rules: readonly Rule[];
  readonly hasExceptions: boolean;

  constructor(patterns: readonly string[]) {
    this.#rules = patterns.flatMap(text => {
      const isException = text.startsWith('!');
      const cleaned = cleanPath(isException ? text.slice(1).trim() : text.trim());
      return cleaned === '' ? [] : [{ matcher: pathRegExp(cleaned), isException }];
    });
    this.hasExceptions = this.#rules.some(rule => rule.isException);
  }

  get isEmpty(): boolean {
    return this.#rules.length === 0;
  }

  /** `path` without a leading slash. */
  matches(path: string): boolean {
    let isMatched = false;
    for (const { matcher, isException } of this.#rules) {
      if (isException === isMatched && matcher.test(path)) isMatched = !isException;
    }
    return isMatched;
  }
}

/** `a/./b/../c/` is `a/c`; what leads above the root ends there. */
export function cleanPath(path: string): string {
  const parts: string[] = [];
  for (const part of path.split('/')) {
    if (part === '..') parts.pop();
    else if (part !== '' && part !== '.') parts.push(part);
  }
  return parts.join('/');
}

/** Matches the path and everything below it. */
function pathRegExp(pattern: string): RegExp {
  const parts = pattern.split('/');
  let source = '^';
  for (const [index, part] of parts.entries()) {
    const isLast = index === parts.length - 1;
    if (part === '**') source += isLast ? '.*' : '(?:[^/]+/)*';
    else source += segmentSource(part) + (isLast ? '' : '/');
  }
  return new RegExp(`${source}(?:/.*)?$`, 's');
}
