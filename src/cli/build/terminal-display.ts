import type { Output } from '../output/terminal.ts';
import { humanSize } from '../output/units.ts';
import { amount, type Display, seconds, type StatusUpdate, type Vertex, type VertexStatus } from './status.ts';

interface Shown {
  vertex: Vertex;
  readonly statuses: Map<string, VertexStatus>;
  lines: string[];
  rest: string;
  readonly decoder: TextDecoder;
}

const windowLines = 6;
const keptLines = 40;
const redrawMs = 100;
const [blue, red, plain] = ['\u001b[34m', '\u001b[31m', '\u001b[0m'];

/** Progress for a terminal: a block that is drawn again and again, with a window on what the steps under way write. */
export class TerminalDisplay implements Display {
  readonly #out: Output;
  readonly #label: string;
  readonly #hasColor: boolean;
  readonly #startedMs = Date.now();
  readonly #shown = new Map<string, Shown>();
  readonly #timer: Timer;
  #drawnLines = 0;

  constructor(out: Output, { label, hasColor }: { label: string; hasColor: boolean }) {
    this.#out = out;
    this.#label = label;
    this.#hasColor = hasColor;
    this.#timer = setInterval(() => this.#draw(false), redrawMs);
  }

  update({ vertexes = [], statuses = [], logs = [] }: StatusUpdate): void {
    for (const vertex of vertexes) {
      const known = this.#shown.get(vertex.id);
      if (known !== undefined) known.vertex = vertex;
      else this.#shown.set(vertex.id, { vertex, statuses: new Map(), lines: [], rest: '', decoder: new TextDecoder() });
    }
    for (const status of statuses) this.#shown.get(status.vertex)?.statuses.set(status.id, status);
    for (const { vertex, data } of logs) {
      const shown = this.#shown.get(vertex);
      if (shown === undefined) continue;
      // What a program draws over its own line is drawn over here as well.
      const lines = (shown.rest + shown.decoder.decode(data, { stream: true })).split('\n');
      shown.rest = lines.pop() ?? '';
      shown.lines = [...shown.lines, ...lines.map(visible)].slice(-keptLines);
    }
  }

  finish(): void {
    clearInterval(this.#timer);
    this.#draw(true);
  }

  #draw(isLast: boolean): void {
    const { columns, rows } = this.#out.size ?? { columns: 80, rows: 24 };
    const now = Date.now();
    const body = [...this.#shown.values()].flatMap(shown => this.#linesOf(shown, { now, columns, isLast }));
    const room = Math.max(1, rows - 2);
    const visibleBody = isLast ? body : body.slice(-room);
    const lines = [this.#heading(now, columns, isLast), ...visibleBody];
    const up = this.#drawnLines === 0 ? '' : `\u001b[${this.#drawnLines}A`;
    this.#out.write(`\u001b[?25l${up}${lines.map(line => `\r\u001b[2K${line}\n`).join('')}\u001b[J${isLast ? '\u001b[?25h' : ''}`);
    this.#drawnLines = lines.length;
  }

  #heading(now: number, columns: number, isLast: boolean): string {
    const all = [...this.#shown.values()].map(({ vertex }) => vertex);
    const done = all.filter(({ completedMs }) => completedMs !== undefined).length;
    const isFinished = isLast && done === all.length && all.every(({ error }) => error === undefined);
    const text = `[+] Building ${seconds(now - this.#startedMs)} (${done}/${all.length})${isFinished ? ' FINISHED' : ''}`;
    const width = columns - text.length - 1;
    return this.#label.length + 1 > width ? text.slice(0, columns) : text + this.#label.padStart(width);
  }

  #linesOf(shown: Shown, { now, columns, isLast }: { now: number; columns: number; isLast: boolean }): string[] {
    const { vertex } = shown;
    if (vertex.startedMs === undefined && vertex.isCached !== true) return [];
    const isDone = vertex.completedMs !== undefined;
    const took = (vertex.completedMs ?? now) - (vertex.startedMs ?? vertex.completedMs ?? now);
    const mark = vertex.error !== undefined ? 'ERROR ' : vertex.isCached === true ? 'CACHED ' : '';
    const color = vertex.error !== undefined ? red : isDone ? blue : '';
    const lines = [this.#row(` => ${mark}${vertex.name}`, seconds(took), columns, color)];
    for (const status of shown.statuses.values()) {
      const text = [status.text, amount(status, humanSize)].filter(part => part !== '').join(' ');
      lines.push(this.#row(` => => ${text}`, seconds((status.completedMs ?? now) - status.startedMs), columns, isDone ? blue : ''));
    }
    if (isDone || isLast) return lines;
    const rest = visible(shown.rest);
    for (const line of [...shown.lines, ...(rest === '' ? [] : [rest])].slice(-windowLines)) {
      lines.push(` => => # ${line}`.slice(0, columns));
    }
    return lines;
  }

  #row(text: string, time: string, columns: number, color: string): string {
    const width = Math.max(8, columns - time.length - 2);
    const shown = text.length > width ? `${text.slice(0, width - 3)}...` : text.padEnd(width);
    const row = `${shown} ${time}`;
    return this.#hasColor && color !== '' ? color + row + plain : row;
  }
}

/** A line without what moves the cursor or changes colors; after a carriage return it begins anew. */
const visible = (line: string): string =>
  (line.replace(/\r$/, '').split('\r').at(-1) ?? '')
    .replace(/\u001b\[[0-9;?]*[A-Za-z]|\u001b[()][A-Z0-9]|[\u0000-\u0008\u000b-\u001f\u007f]/g, '')
    .replaceAll('\t', '        ');
