/**
 * Hands values from one loop to another. `push` waits while `capacity` values are unread, so that a slow reader slows the writer down.
 * A reader that leaves early makes every further push return at once: what it does not want is dropped.
 */
export class Channel<T> implements AsyncIterable<T> {
  readonly #capacity: number;
  #values: T[] = [];
  #ended: { readonly error?: unknown } | undefined;
  #isAbandoned = false;
  #readable: (() => void) | undefined;
  #writable: (() => void) | undefined;

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  /** For one writer at a time. */
  async push(value: T): Promise<void> {
    if (this.#isAbandoned || this.#ended !== undefined) return;
    this.#values.push(value);
    this.#readable?.();
    if (this.#values.length < this.#capacity) return;
    await new Promise<void>(resolve => {
      this.#writable = resolve;
    });
  }

  /** No more values; the reader gets those that are there, then the end. */
  end(): void {
    this.#ended ??= {};
    this.#readable?.();
  }

  /** The reader gets this error next, before anything unread. */
  fail(error: unknown): void {
    this.#ended ??= { error };
    this.#values = [];
    this.#readable?.();
    this.#writable?.();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T, void, undefined> {
    try {
      for (;;) {
        while (this.#values.length > 0) {
          const values = this.#values;
          this.#values = [];
          this.#writable?.();
          yield* values;
        }
        if (this.#ended !== undefined) {
          if ('error' in this.#ended) throw this.#ended.error;
          return;
        }
        await new Promise<void>(resolve => {
          this.#readable = resolve;
        });
      }
    } finally {
      this.#isAbandoned = true;
      this.#values = [];
      this.#writable?.();
    }
  }
}
