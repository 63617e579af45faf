import { closeSync, constants, openSync, readFileSync, writeSync } from 'node:fs';
import { beginning, type Position } from '../capture/pieces.ts';
import { isErrno } from '#base/errors.ts';
import type { SinkState } from './sink.ts';

interface Kept {
  readonly position: Position;
  readonly sink?: SinkState;
  /** Everything was passed on and the run has ended: there is nothing to go on with. */
  readonly isDone?: boolean;
}

const nothingYet: Kept = { position: beginning };

/** Keeps how far a capture was passed on, in a file that is written over in place: one write that either happened or did not. */
export class PositionFile {
  readonly #path: string;
  #kept: Kept;
  #fd: number | undefined;
  #length = 0;

  constructor(path: string) {
    this.#path = path;
    this.#kept = read(path) ?? nothingYet;
  }

  get position(): Position {
    return this.#kept.position;
  }

  get sink(): SinkState | undefined {
    return this.#kept.sink;
  }

  get isDone(): boolean {
    return this.#kept.isDone === true;
  }

  /** Whether something of an earlier run may not have been passed on. */
  get hasRest(): boolean {
    return this.#kept !== nothingYet && !this.isDone;
  }

  save(position: Position, sink: SinkState | undefined, isDone = false): void {
    this.#kept = { position, ...(sink === undefined ? {} : { sink }), ...(isDone ? { isDone } : {}) };
    this.#write();
  }

  saveSink(sink: SinkState): void {
    this.#kept = { ...this.#kept, sink };
    this.#write();
  }

  close(): void {
    if (this.#fd !== undefined) closeSync(this.#fd);
    this.#fd = undefined;
  }

  #write(): void {
    this.#fd ??= openSync(this.#path, constants.O_RDWR | constants.O_CREAT, 0o600);
    const text = `${JSON.stringify(this.#kept)}\n`;
    // What a longer text left behind is written over with spaces.
    this.#length = Math.max(this.#length, text.length);
    writeSync(this.#fd, text.padEnd(this.#length), 0, 'latin1');
  }
}

function read(path: string): Kept | undefined {
  try {
    return JSON.parse(readFileSync(path, 'latin1')) as Kept;
  } catch (err) {
    // A file system that lost its end leaves a text that cannot be read.
    if (isErrno(err, 'ENOENT') || err instanceof SyntaxError) return undefined;
    throw err;
  }
}
