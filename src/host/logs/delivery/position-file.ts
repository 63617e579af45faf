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
    const text = textOf(path);
    this.#kept = parse(text) ?? nothingYet;
    this.#length = text.length;
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

function textOf(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch (err) {
    if (isErrno(err, 'ENOENT')) return '';
    throw err;
  }
}

function parse(text: string): Kept | undefined {
  try {
    return JSON.parse(text) as Kept;
  } catch {
    // There was none, or a file system has lost its end.
    return undefined;
  }
}
