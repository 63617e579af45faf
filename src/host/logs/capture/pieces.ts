import { createHash } from 'node:crypto';

export type StreamName = 'stdout' | 'stderr';

/** Long lines reach drivers in pieces of this size, as from Docker. */
export const longestPieceBytes = 16 * 1024;

/** A piece of a line that is longer than a piece may be, or that has no end. */
export interface Part {
  /** The same for all pieces of a line. */
  readonly id: string;
  /** From 1. */
  readonly ordinal: number;
  readonly isLast: boolean;
}

/** Where in a capture a stream's next line begins, or goes on. */
export interface StreamPosition {
  readonly segment: number;
  readonly offset: number;
  /** Bytes of the text there that were passed on already. */
  readonly skip?: number;
  /** Pieces of the line that were passed on already. */
  readonly begun?: BegunLine;
}

interface BegunLine {
  readonly id: string;
  readonly pieces: number;
  readonly time: string;
}

/** How far a capture was passed on. The streams stand at different places while one of them has an unfinished line. */
export interface Position {
  readonly stdout: StreamPosition;
  readonly stderr: StreamPosition;
}

export const beginning: Position = { stdout: { segment: 0, offset: 0 }, stderr: { segment: 0, offset: 0 } };

const comparePositions = (a: StreamPosition, b: StreamPosition): number => a.segment - b.segment || a.offset - b.offset;

/** Where reading has to begin. */
export const earlier = ({ stdout, stderr }: Position): StreamPosition => (comparePositions(stdout, stderr) <= 0 ? stdout : stderr);

/** Takes pieces of lines. `text` holds a byte per character, without the line's end; `time` has nine digits of a second and no zone. */
export type TakePiece = (stream: StreamName, time: string, text: string, part: Part | undefined) => void;

// 2026-01-02T03:04:05.123456789+00:00 stdout F text
// ^ time, 29 characters            zone^ ^36   ^43 ^45
const timeLength = 29;
const streamLetterAt = 39;
const tagAt = 43;
const textAt = 45;
const letterE = 0x65; // std[e]rr
const letterF = 0x46;
const space = 0x20;

class StreamState {
  /** Text that waits for the end of its line. */
  waiting = '';
  /** Where the waiting text begins; undefined while none waits. */
  from: StreamPosition | undefined;
  begun: BegunLine | undefined;
  /** What comes before is not for this reader. */
  resume: StreamPosition | undefined;
}

/** Turns what a monitor wrote into pieces of lines, and knows where to go on after each read. */
export class PieceReader {
  readonly #containerId: string;
  readonly #stdout = new StreamState();
  readonly #stderr = new StreamState();
  #torn = '';
  #segment: number;
  #offset: number;

  constructor(containerId: string, position: Position) {
    this.#containerId = containerId;
    this.#stdout.resume = position.stdout;
    this.#stderr.resume = position.stderr;
    ({ segment: this.#segment, offset: this.#offset } = earlier(position));
  }

  /** Where the next bytes are to be read. */
  get next(): { readonly segment: number; readonly offset: number } {
    return { segment: this.#segment, offset: this.#offset + this.#torn.length };
  }

  /** Up to where everything was taken. */
  get position(): Position {
    return { stdout: this.#positionOf(this.#stdout), stderr: this.#positionOf(this.#stderr) };
  }

  /** Goes on with the next file. A line that a crash cut off at the end of the one before is left out. */
  beginSegment(number: number): void {
    this.#segment = number;
    this.#offset = 0;
    this.#torn = '';
  }

  push(chunk: string, take: TakePiece): void {
    const text = this.#torn === '' ? chunk : this.#torn + chunk;
    let at = 0;
    for (;;) {
      const end = text.indexOf('\n', at);
      if (end === -1) break;
      if (end - at >= textAt - 1 && text.charCodeAt(at + tagAt - 1) === space) this.#line(text, at, end, take);
      at = end + 1;
    }
    this.#torn = at === 0 ? text : text.slice(at);
    this.#offset += at;
  }

  /** The run has ended: what waits for the end of its line is all there will be of it. */
  finish(take: TakePiece): void {
    for (const stream of ['stdout', 'stderr'] as const) {
      const state = stream === 'stdout' ? this.#stdout : this.#stderr;
      if (state.waiting !== '') this.#piece(state, stream, state.begun?.time ?? this.#lastTime, state.waiting, false, take);
      state.waiting = '';
      state.from = undefined;
      state.begun = undefined;
    }
  }

  #lastTime = '';

  #line(text: string, at: number, end: number, take: TakePiece): void {
    const stream = text.charCodeAt(at + streamLetterAt) === letterE ? 'stderr' : 'stdout';
    const state = stream === 'stdout' ? this.#stdout : this.#stderr;
    const isEnd = text.charCodeAt(at + tagAt) === letterF;
    if (
      state.resume === undefined &&
      isEnd &&
      state.from === undefined &&
      state.begun === undefined &&
      end - at - textAt < longestPieceBytes
    ) {
      take(stream, text.slice(at, at + timeLength), text.slice(at + textAt, end), undefined);
      return;
    }
    this.#unusualLine(state, stream, text, at, end, isEnd, take);
  }

  #unusualLine(state: StreamState, stream: StreamName, text: string, at: number, end: number, isEnd: boolean, take: TakePiece): void {
    const here = { segment: this.#segment, offset: this.#offset + at };
    let skip = 0;
    if (state.resume !== undefined) {
      const order = comparePositions(here, state.resume);
      if (order < 0) return;
      if (order === 0) skip = state.resume.skip ?? 0;
      state.begun = state.resume.begun;
      state.resume = undefined;
    }
    const time = text.slice(at, at + timeLength);
    this.#lastTime = time;
    const added = text.slice(at + textAt + skip, end);
    state.from ??= skip === 0 ? here : { ...here, skip };
    let line = state.waiting + added;
    let passed = 0;
    while (line.length - passed >= longestPieceBytes) {
      this.#piece(state, stream, time, line.slice(passed, passed + longestPieceBytes), false, take);
      passed += longestPieceBytes;
    }
    if (passed > 0) line = line.slice(passed);
    if (isEnd) {
      if (state.begun === undefined) take(stream, time, line, undefined);
      else this.#piece(state, stream, time, line, true, take);
      state.waiting = '';
      state.from = undefined;
      state.begun = undefined;
      return;
    }
    // A flat copy: slices would keep all that was read alive.
    state.waiting = line;
    if (passed > 0) state.from = { ...here, skip: end - at - textAt - line.length };
  }

  #piece(state: StreamState, stream: StreamName, time: string, text: string, isLast: boolean, take: TakePiece): void {
    const begun = state.begun ?? { id: this.#partId(stream, state.from), pieces: 0, time };
    state.begun = { ...begun, pieces: begun.pieces + 1 };
    take(stream, begun.time, text, { id: begun.id, ordinal: begun.pieces + 1, isLast });
  }

  /** Made from where the line stands, so that a piece that is passed on again after a crash has the same. */
  #partId(stream: StreamName, from: StreamPosition | undefined): string {
    const place = `${this.#containerId} ${stream} ${String(from?.segment)} ${String(from?.offset)}`;
    return createHash('sha256').update(place).digest('hex');
  }

  #positionOf(state: StreamState): StreamPosition {
    const begun = state.begun === undefined ? {} : { begun: state.begun };
    if (state.from !== undefined) return { ...state.from, ...begun };
    // Nothing of this stream was met yet: what comes before its place must stay left out.
    const here = { segment: this.#segment, offset: this.#offset };
    if (state.resume !== undefined && comparePositions(state.resume, here) > 0) return state.resume;
    return state.resume?.begun === undefined ? { ...here, ...begun } : { ...here, begun: state.resume.begun };
  }
}
