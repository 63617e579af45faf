import type { Chunk } from './reply.ts';

/** The part of a socket or response that output goes to. */
export interface ByteSink {
  write(chunk: Uint8Array): boolean;
  once(event: 'drain' | 'close', listener: () => void): unknown;
  off(event: 'drain' | 'close', listener: () => void): unknown;
  readonly destroyed: boolean;
}

const blockBytes = 64 * 1024;
/** Chunks from this size on are worth a write of their own. */
const directBytes = 32 * 1024;

/**
 * Gathers what arrives in one turn of the event loop into few large writes: a process that prints many small pieces would otherwise cost a system call
 * for each. Chunks are copied or written before `append` returns, so their memory may be used again.
 */
export class BatchedWriter {
  readonly #sink: ByteSink;
  #block: Buffer | undefined;
  #filled = 0;
  #scheduled = false;
  #full: Promise<void> | undefined;

  constructor(sink: ByteSink) {
    this.#sink = sink;
  }

  /** A promise when the reader is behind: wait for it before appending more. It resolves too when the reader has gone. */
  append(chunk: Chunk): Promise<void> | undefined {
    const bytes = typeof chunk === 'string' ? Buffer.from(chunk) : chunk;
    if (bytes.length >= directBytes) {
      void this.flush();
      this.#write(Buffer.from(bytes));
      return this.#full;
    }
    if (this.#filled + bytes.length > blockBytes) void this.flush();
    this.#block ??= Buffer.allocUnsafeSlow(blockBytes);
    this.#block.set(bytes, this.#filled);
    this.#filled += bytes.length;
    this.#schedule();
    return this.#full;
  }

  /** Hands everything to the sink now. */
  flush(): Promise<void> | undefined {
    const block = this.#block;
    if (block !== undefined && this.#filled > 0) {
      this.#write(block.subarray(0, this.#filled));
      this.#block = undefined;
      this.#filled = 0;
    }
    return this.#full;
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => {
      this.#scheduled = false;
      void this.flush();
    });
  }

  #write(bytes: Uint8Array): void {
    if (this.#sink.destroyed || this.#sink.write(bytes)) return;
    this.#full ??= new Promise(resolve => {
      const done = (): void => {
        this.#full = undefined;
        this.#sink.off('drain', done);
        this.#sink.off('close', done);
        resolve();
      };
      this.#sink.once('drain', done);
      this.#sink.once('close', done);
    });
  }
}
