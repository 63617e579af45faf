/** A value that changes until it is final. A reader is told the newest one whenever it asks, not every one there was. */
export class Latest<T> implements AsyncIterable<T> {
  #fresh: { readonly value: T } | undefined;
  #ended: { readonly error?: unknown } | undefined;
  #wake: (() => void) | undefined;

  set(value: T): void {
    this.#fresh = { value };
    this.#wake?.();
  }

  /** What was set last is final: the reader gets it, then the end. */
  end(): void {
    this.#ended ??= {};
    this.#wake?.();
  }

  /** The reader gets this error next. */
  fail(error: unknown): void {
    this.#ended ??= { error };
    this.#wake?.();
  }

  /** For one reader. */
  async *[Symbol.asyncIterator](): AsyncGenerator<T, void, undefined> {
    for (;;) {
      if (this.#ended !== undefined && 'error' in this.#ended) throw this.#ended.error;
      const fresh = this.#fresh;
      this.#fresh = undefined;
      if (fresh !== undefined) yield fresh.value;
      else if (this.#ended !== undefined) return;
      else await new Promise<void>(resolve => (this.#wake = resolve));
    }
  }
}
