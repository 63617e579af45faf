import { EngineError } from '#base/errors.ts';

/** A place in a Dockerfile. Both count from 1; columns count UTF-16 code units, as editors do. */
export interface Position {
  readonly line: number;
  readonly column: number;
}

/** `end` is the place after the last character. */
export interface Range {
  readonly start: Position;
  readonly end: Position;
}

/** A Dockerfile as it was read: its name in messages and its text. */
export interface Source {
  readonly name: string;
  readonly text: string;
}

/**
 * A Dockerfile that cannot be built, and where. The kind is InvalidArgument; `message` is a sentence that names the line, `reason` the sentence
 * without it; `excerpt()` shows the lines.
 */
export class DockerfileError extends EngineError {
  readonly reason: string;
  readonly range: Range | undefined;
  readonly source: Source | undefined;

  constructor(reason: string, { range, source, prefix }: { range?: Range | undefined; source?: Source | undefined; prefix?: string } = {}) {
    const place = range === undefined || source === undefined ? '' : `${source.name}:${range.start.line}: `;
    super('InvalidArgument', `${prefix ?? place}${reason}`);
    this.reason = reason;
    this.range = range;
    this.source = source;
  }

  /** The lines around the error as `formatExcerpt` shows them; empty when the place is not known. */
  excerpt(): string {
    return this.range === undefined || this.source === undefined ? '' : formatExcerpt(this.source, this.range);
  }
}

const rule = '-'.repeat(20);
const linesAround = 4;

/**
 * The lines of a range, marked with `>>>`, between their neighbours, as BuildKit prints them. A range that is only part of one line is underlined
 * and its column stands in the first line.
 */
export function formatExcerpt({ name, text }: Source, { start, end }: Range): string {
  const lines = text.split('\n').map(line => line.replace(/\r$/, ''));
  if (start.line < 1 || start.line > lines.length) return '';
  const last = Math.min(Math.max(lastLine({ start, end }), start.line), lines.length);
  const [from, to] = widen(start.line, last, lines.length);
  const marked = lines[start.line - 1] ?? '';
  const isPart = last === start.line && end.line === start.line && end.column - start.column < marked.trim().length;
  const shown: string[] = [`${name}:${start.line}${isPart ? `:${start.column}` : ''}`, rule];
  for (let number = from; number <= to; number += 1) {
    const isMarked = number >= start.line && number <= last;
    shown.push(` ${String(number).padStart(3)} | ${isMarked ? '>>>' : '   '} ${lines[number - 1] ?? ''}`);
    if (isMarked && isPart) {
      const indent = marked.slice(0, start.column - 1).replace(/[^\t]/g, ' ');
      shown.push(`     |     ${indent}${'^'.repeat(Math.max(1, end.column - start.column))}`);
    }
  }
  shown.push(rule, '');
  return shown.join('\n');
}

/** The last line of which something belongs to the range. */
export const lastLine = ({ start, end }: Range): number => (end.line > start.line && end.column === 1 ? end.line - 1 : end.line);

/** Adds lines above and below in turns: four around a single line, two around several. */
function widen(first: number, last: number, count: number): [number, number] {
  let [from, to, added] = [first, last, 0];
  const wanted = first === last ? linesAround : linesAround / 2;
  while (added < wanted) {
    if (from > 1) {
      from -= 1;
      added += 1;
    }
    if (to < count) {
      to += 1;
      added += 1;
    }
    added += 1;
  }
  return [from, to];
}
