import { isSpace, trim, trimStart } from './characters.ts';
import { DirectiveReader } from './directives.ts';
import { heredocsOf } from './heredoc.ts';
import type { Directives, Heredoc } from './instructions.ts';
import { DockerfileError, type Position, type Range, type Source } from './source.ts';

/** One instruction as written: its lines joined, and where each part of them came from. */
export interface Statement {
  readonly text: string;
  readonly pieces: readonly Piece[];
  readonly range: Range;
  readonly comments: readonly string[];
  readonly heredocs: readonly Heredoc[];
}

/** From `offset` on, the joined text is what stands at `position`. */
interface Piece {
  readonly offset: number;
  readonly position: Position;
}

export interface Statements {
  readonly directives: Directives;
  readonly statements: readonly Statement[];
  readonly emptyContinuations: readonly Range[];
}

/** Whether a statement's heredoc words announce documents; only a few instructions have them. */
export type TakesHeredocs = (text: string, escape: string) => boolean;

/** Splits a Dockerfile into statements: comments, continuation lines, heredocs. Throws DockerfileError. */
export function readStatements(source: Source, takesHeredocs: TakesHeredocs): Statements {
  const lines = source.text.replace(/^\uFEFF/, '').split(/(?<=\n)/);
  if (lines.length === 1 && lines[0] === '') lines.pop();
  return new StatementReader(source, lines, takesHeredocs).read();
}

const trimNewline = (line: string): string => line.replace(/[\r\n]+$/, '');
const isComment = (line: string): boolean => trimStart(line).startsWith('#');
const isBlank = (line: string): boolean => trimStart(trimNewline(line)) === '';

class StatementReader {
  readonly #source: Source;
  readonly #lines: readonly string[];
  readonly #takesHeredocs: TakesHeredocs;
  readonly #directives = new DirectiveReader('#');
  readonly #statements: Statement[] = [];
  readonly #emptyContinuations: Range[] = [];
  #continuation = continuationPattern('\\');
  #comments: string[] = [];
  /** Lines read so far, and so the number of the line read last. */
  #line = 0;

  constructor(source: Source, lines: readonly string[], takesHeredocs: TakesHeredocs) {
    this.#source = source;
    this.#lines = lines;
    this.#takesHeredocs = takesHeredocs;
  }

  read(): Statements {
    while (this.#line < this.#lines.length) this.#readStatement();
    return {
      directives: this.#directives.found(this.#source.text),
      statements: this.#statements,
      emptyContinuations: this.#emptyContinuations,
    };
  }

  #next(): string {
    const line = this.#lines[this.#line] ?? '';
    this.#line += 1;
    return line;
  }

  #readStatement(): void {
    const raw = trimNewline(this.#next());
    const first = trimStart(raw);
    const startLine = this.#line;
    if (this.#readDirective(first)) return;
    if (first.startsWith('#')) {
      const comment = trim(first.slice(1));
      this.#comments = comment === '' ? [] : [...this.#comments, comment];
      return;
    }
    if (first === '') return;
    const startColumn = raw.length - first.length + 1;
    const pieces: Piece[] = [];
    let text = '';
    let end: Position = { line: startLine, column: raw.length + 1 };
    let goesOn = true;
    let hasBlank = false;
    const add = (line: string, column: number): void => {
      pieces.push({ offset: text.length, position: { line: this.#line, column } });
      goesOn = this.#continuation.test(line);
      text += goesOn ? line.replace(this.#continuation, '$1') : line;
      end = { line: this.#line, column: column + line.length };
    };
    add(first, startColumn);
    while (goesOn && this.#line < this.#lines.length) {
      const line = trimNewline(this.#next());
      if (isComment(line)) continue;
      if (isBlank(line)) hasBlank = true;
      else add(line, 1);
    }
    const range = { start: { line: startLine, column: startColumn }, end };
    if (hasBlank) this.#emptyContinuations.push(lineRange(this.#line, this.#lines));
    const heredocs = text.includes('<<') && this.#takesHeredocs(text, this.#directives.escape) ? this.#readHeredocs(text, range) : [];
    const last = heredocs.length === 0 ? range : { start: range.start, end: lineRange(this.#line, this.#lines).end };
    this.#statements.push({ text, pieces, range: last, comments: this.#comments, heredocs });
    this.#comments = [];
  }

  #readDirective(line: string): boolean {
    try {
      const directive = this.#directives.read(line);
      if (directive?.name === 'escape') this.#continuation = continuationPattern(this.#directives.escape);
      return directive !== undefined;
    } catch (err) {
      if (!(err instanceof Error)) throw err;
      throw this.#error(err.message, lineRange(this.#line, this.#lines));
    }
  }

  #readHeredocs(text: string, announced: Range): Heredoc[] {
    return heredocsOf(text).map(heredoc => {
      let content = '';
      while (this.#line < this.#lines.length) {
        const line = this.#next();
        const end = heredoc.stripTabs ? trimNewline(line).replace(/^\t+/, '') : trimNewline(line);
        if (end === heredoc.name) return { ...heredoc, content };
        content += line;
      }
      throw this.#error(`unterminated heredoc: no line says only "${heredoc.name}"`, announced);
    });
  }

  #error(reason: string, range: Range): DockerfileError {
    return new DockerfileError(reason, { range, source: this.#source, prefix: parseErrorPrefix(range.start.line) });
  }
}

export const parseErrorPrefix = (line: number): string => `dockerfile parse error on line ${line}: `;

/** An escape character at the end of a line, unless it is itself escaped; blanks may follow. */
const continuationPattern = (escape: string): RegExp => {
  const char = `\\${escape}`;
  return new RegExp(`([^${char}])${char}[ \\t]*$|^${char}[ \\t]*$`);
};

function lineRange(line: number, lines: readonly string[]): Range {
  return { start: { line, column: 1 }, end: { line, column: trimNewline(lines[line - 1] ?? '').length + 1 } };
}

/** Where a part of a statement's joined text stands in the file. */
export function rangeOf(statement: Statement, offset: number, length: number): Range {
  const start = positionOf(statement, offset);
  const last = positionOf(statement, Math.max(offset, offset + length - 1));
  return { start, end: { line: last.line, column: last.column + (length > 0 ? 1 : 0) } };
}

function positionOf({ pieces, range }: Statement, offset: number): Position {
  const piece = pieces.findLast(candidate => candidate.offset <= offset);
  if (piece === undefined) return range.start;
  return { line: piece.position.line, column: piece.position.column + offset - piece.offset };
}

/** A word and the place where it begins in the joined text. */
export interface Token {
  readonly text: string;
  readonly offset: number;
}

export interface SplitStatement {
  readonly keyword: string;
  /** Words at the beginning that start with `--`, without quotes and escapes. */
  readonly flags: readonly (Token & { readonly length: number })[];
  /** What follows the flags, trimmed. */
  readonly rest: string;
  readonly restOffset: number;
}

/** The instruction's word, its flags and the rest. `--` alone ends the flags. */
export function splitStatement(text: string, escape: string): SplitStatement {
  const lead = text.length - trimStart(text).length;
  const line = trim(text);
  const blank = /[\t\v\f\r ]+/.exec(line);
  if (blank === null) return { keyword: line, flags: [], rest: '', restOffset: text.length };
  const keyword = line.slice(0, blank.index);
  const flags: (Token & { length: number })[] = [];
  let at = blank.index + blank[0].length;
  for (;;) {
    while (at < line.length && isSpace(line[at] ?? '')) at += 1;
    if (!line.startsWith('--', at)) break;
    const { word, end, isQuoted } = readFlag(line, at, escape);
    if (word === '--' && end < line.length) {
      at = end;
      break;
    }
    if (word !== '--' && (word !== '' || isQuoted)) flags.push({ text: word, offset: lead + at, length: end - at });
    at = end;
  }
  const rest = line.slice(at);
  const restLead = rest.length - trimStart(rest).length;
  return { keyword, flags, rest: trim(rest), restOffset: lead + at + restLead };
}

/** A word with its quotes and escapes resolved. */
function readFlag(line: string, start: number, escape: string): { word: string; end: number; isQuoted: boolean } {
  let word = '';
  let isQuoted = false;
  let quote = '';
  let at = start;
  for (; at < line.length; at += 1) {
    const char = line[at] ?? '';
    if (quote === '' && isSpace(char)) break;
    if (quote === '' ? char === "'" || char === '"' : char === quote) {
      quote = quote === '' ? char : '';
      isQuoted = true;
    } else if (char === escape) {
      at += 1;
      word += line[at] ?? '';
    } else word += char;
  }
  return { word, end: Math.min(at, line.length), isQuoted };
}

/** Words separated by white space that is neither quoted nor escaped; quotes and escapes stay. */
export function splitWords(text: string, escape: string): Token[] {
  const words: Token[] = [];
  let at = 0;
  while (at < text.length) {
    if (isSpace(text[at] ?? '')) {
      at += 1;
      continue;
    }
    const start = at;
    let word = '';
    let quote = '';
    for (; at < text.length; at += 1) {
      const char = text[at] ?? '';
      if (quote === '' && isSpace(char)) break;
      if (quote === '' && (char === "'" || char === '"')) quote = char;
      else if (char === quote) quote = '';
      if (char === escape && quote !== "'") {
        // An escape at the very end has nothing to escape and is dropped.
        if (at + 1 === text.length) continue;
        word += char;
        at += 1;
        word += text[at] ?? '';
      } else word += char;
    }
    if (word !== '') words.push({ text: word, offset: start });
  }
  return words;
}

/** Words separated by blanks, whatever their quotes. */
export function splitBlanks(text: string): Token[] {
  return [...text.matchAll(/[^\t\v\f\r ]+/g)].map(match => ({ text: match[0], offset: match.index }));
}
