import { trimStart } from './characters.ts';
import type { Directives } from './instructions.ts';

const known = new Set(['syntax', 'escape', 'check']);

export interface Directive {
  readonly name: string;
  readonly value: string;
}

/** Reads `# name=value` lines at the top of a file: the first line that is none ends them. */
export class DirectiveReader {
  readonly #mark: string;
  readonly #seen = new Map<string, string>();
  #done = false;

  constructor(mark: string) {
    this.#mark = mark;
  }

  get escape(): '\\' | '`' {
    return this.#seen.get('escape') === '`' ? '`' : '\\';
  }

  /** Throws an Error whose message is the reason for a directive that is repeated or has a wrong value. */
  read(line: string): Directive | undefined {
    if (this.#done) return undefined;
    const text = line.startsWith(this.#mark) ? trimStart(line.slice(this.#mark.length)) : '';
    const match = /^([a-zA-Z][a-zA-Z0-9]*)\s*=\s*(.+?)\s*$/.exec(text);
    const name = (match?.[1] ?? '').toLowerCase();
    const value = match?.[2] ?? '';
    if (!known.has(name)) {
      this.#done = true;
      return undefined;
    }
    if (this.#seen.has(name)) throw new Error(`only one ${name} parser directive can be used`);
    if (name === 'escape' && value !== '\\' && value !== '`') throw new Error(`invalid escape token '${value}' does not match \` or \\`);
    this.#seen.set(name, value);
    return { name, value };
  }

  /** What the file says of itself. `syntax` and `check` are also found after a `#!` line, and `syntax` in other kinds of files. */
  found(text: string): Directives {
    const syntax = syntaxOf(text);
    const check = findDirective(text, 'check', '#');
    return { escape: this.escape, ...(syntax !== undefined && { syntax }), ...(check !== undefined && { check }) };
  }
}

/** The first word of a directive's value. */
function findDirective(text: string, name: string, mark: string): string | undefined {
  const reader = new DirectiveReader(mark);
  const lines = text.replace(/^\uFEFF/, '').split('\n');
  if (lines[0]?.startsWith('#!') === true) lines.shift();
  try {
    for (const line of lines) {
      const directive = reader.read(line.replace(/\r$/, ''));
      if (directive === undefined) return undefined;
      if (directive.name === name) return directive.value.split(' ', 1)[0];
    }
  } catch {
    // Reading the statements says what is wrong.
  }
  return undefined;
}

function jsonSyntax(text: string): string | undefined {
  if (!trimStart(text).startsWith('{')) return undefined;
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null && 'syntax' in value && typeof value.syntax === 'string') return value.syntax;
  } catch {
    // Not JSON, then.
  }
  return undefined;
}

/** `# check=skip=A,B;error=true`, as a directive or as a comment above an instruction. */
export const checkComment = (comment: string): string | undefined => {
  const directive = new DirectiveReader('').read(comment);
  return directive?.name === 'check' ? directive.value.split(' ', 1)[0] : undefined;
};

/** The frontend that a file of any kind names at its top; undefined: none. */
export const syntaxOf = (text: string): string | undefined =>
  findDirective(text, 'syntax', '#') ?? findDirective(text, 'syntax', '//') ?? jsonSyntax(text);
