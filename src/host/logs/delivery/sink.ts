import type { TakePiece } from '../capture/pieces.ts';

/** What a sink needs to go on after a crash, beside the position. */
export interface SinkState {
  readonly inode: number;
  readonly base: number;
}

/** Where pieces of lines go: a file, or a receiver somewhere. */
export interface Sink {
  /** Keeps a piece for the next `flush`. */
  readonly take: TakePiece;
  /**
   * Passes on what was taken. When it rejects, what was taken since the last flush that resolved is forgotten: it is taken again from the position before.
   * Abort to give up.
   */
  flush(signal: AbortSignal): Promise<void>;
  /** To be kept with the position after a flush; undefined: the position says it all. */
  readonly state?: SinkState | undefined;
  /**
   * Has a callback called when the receiver goes away. What was flushed in the `doubtMs` before may not have reached it and is taken again; what is older
   * counts as received.
   */
  onLost?(callback: () => void): void;
  readonly doubtMs?: number;
  close(): Promise<void>;
}

/** How a sink is made: with the state kept last, and a way to keep a new one between two flushes. */
export type OpenSink = (state: SinkState | undefined, saveState: (state: SinkState) => void) => Sink;
