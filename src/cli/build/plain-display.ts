import type { Output } from '../output/terminal.ts';
import { humanSize } from '../output/units.ts';
import { amount, type Display, seconds, type StatusUpdate, type Vertex, type VertexLog, type VertexStatus } from './status.ts';

interface Shown {
  readonly number: number;
  vertex: Vertex;
  /** The end of what it wrote that is no whole line yet. */
  rest: string;
  readonly decoder: TextDecoder;
  isClosed: boolean;
  /** Its name has been shown. */
  isNamed: boolean;
}

/** Progress for files and pipes: lines that say which step they belong to, each step's number before them. */
export class PlainDisplay implements Display {
  readonly #out: Output;
  readonly #shown = new Map<string, Shown>();
  readonly #finishedStatuses = new Set<string>();
  #current: Shown | undefined;
  #isBlank = false;

  constructor(out: Output) {
    this.#out = out;
  }

  update({ vertexes = [], statuses = [], logs = [] }: StatusUpdate): void {
    for (const vertex of vertexes) if (vertex.startedMs !== undefined || vertex.isCached === true) this.#open(vertex);
    for (const status of statuses) this.#status(status);
    for (const log of logs) this.#log(log);
    for (const vertex of vertexes) if (vertex.completedMs !== undefined) this.#close(vertex);
  }

  finish(): void {
    for (const shown of this.#shown.values()) if (!shown.isClosed) this.#flush(shown);
  }

  #open(vertex: Vertex): void {
    const known = this.#shown.get(vertex.id);
    if (known !== undefined) {
      known.isClosed &&= vertex.completedMs !== undefined;
      known.vertex = vertex;
      return;
    }
    const shown: Shown = { number: this.#shown.size + 1, vertex, rest: '', decoder: new TextDecoder(), isClosed: false, isNamed: false };
    this.#shown.set(vertex.id, shown);
    // While another speaks, it waits until it has something to say.
    if (this.#current === undefined || this.#current.isClosed) this.#turnTo(shown);
  }

  /** Says whose lines follow, when they were another's before. */
  #turnTo(shown: Shown): void {
    if (this.#current === shown) return;
    if (this.#current !== undefined && !this.#isBlank) this.#print('');
    this.#current = shown;
    shown.isNamed = true;
    this.#print(`#${shown.number} ${shown.vertex.name}`);
  }

  #print(line: string): void {
    this.#isBlank = line === '';
    this.#out.line(line);
  }

  #status(status: VertexStatus): void {
    const shown = this.#shown.get(status.vertex);
    const key = `${status.vertex} ${status.id}`;
    if (shown === undefined || status.completedMs === undefined || this.#finishedStatuses.has(key)) return;
    this.#finishedStatuses.add(key);
    this.#turnTo(shown);
    const took = status.completedMs - status.startedMs;
    const parts = [status.text, amount(status, humanSize), took >= 50 ? seconds(took) : '', 'done'];
    this.#print(`#${shown.number} ${parts.filter(part => part !== '').join(' ')}`);
  }

  #log({ vertex, data, timeMs }: VertexLog): void {
    const shown = this.#shown.get(vertex);
    if (shown === undefined) return;
    const lines = (shown.rest + shown.decoder.decode(data, { stream: true })).split('\n');
    shown.rest = lines.pop() ?? '';
    for (const line of lines) this.#line(shown, line, timeMs);
  }

  #line(shown: Shown, line: string, timeMs: number): void {
    this.#turnTo(shown);
    const since = (timeMs - (shown.vertex.startedMs ?? timeMs)) / 1000;
    this.#print(`#${shown.number} ${since.toFixed(3)} ${line.replace(/\r$/, '')}`);
  }

  #flush(shown: Shown): void {
    const rest = shown.rest + shown.decoder.decode();
    shown.rest = '';
    if (rest !== '') this.#line(shown, rest, Date.now());
  }

  #close(vertex: Vertex): void {
    const shown = this.#shown.get(vertex.id);
    if (shown === undefined || shown.isClosed) return;
    this.#flush(shown);
    this.#turnTo(shown);
    shown.isClosed = true;
    const took = (vertex.completedMs ?? 0) - (vertex.startedMs ?? vertex.completedMs ?? 0);
    const end = vertex.error !== undefined ? `ERROR: ${vertex.error}` : vertex.isCached === true ? 'CACHED' : `DONE ${seconds(took)}`;
    this.#print(`#${shown.number} ${end}`);
    this.#print('');
    const next = [...this.#shown.values()].find(({ isClosed, isNamed }) => !isClosed && !isNamed);
    if (next !== undefined) this.#turnTo(next);
  }
}
