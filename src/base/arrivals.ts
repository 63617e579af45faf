/** Things by their names, some of which are asked for a moment before they are there. */
export class Arrivals<T> {
  readonly #here = new Map<string, T>();
  readonly #waiting = new Map<string, Set<(thing: T) => void>>();

  /** Puts something in its place, instead of what was there before. */
  arrive(name: string, thing: T): void {
    this.#here.set(name, thing);
    for (const tell of this.#waiting.get(name) ?? []) tell(thing);
  }

  /** Takes something away, unless another thing has its place by now. */
  leave(name: string, thing: T): void {
    if (this.#here.get(name) === thing) this.#here.delete(name);
  }

  /** What is there now. */
  find(name: string): T | undefined {
    return this.#here.get(name);
  }

  /** Waits for something to be there. Rejects with `missing()` when it does not come in time. */
  async get(
    name: string,
    { patienceMs, missing }: { readonly patienceMs: number; readonly missing: () => Error },
    signal: AbortSignal,
  ): Promise<T> {
    const known = this.#here.get(name);
    if (known !== undefined) return known;
    signal.throwIfAborted();
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    const waiting = this.#waiting.get(name) ?? new Set();
    this.#waiting.set(name, waiting.add(resolve));
    const timer = setTimeout(() => reject(missing()), patienceMs);
    const stop = (): void => reject(signal.reason as Error);
    signal.addEventListener('abort', stop, { once: true });
    try {
      return await promise;
    } finally {
      clearTimeout(timer);
      signal.removeEventListener('abort', stop);
      waiting.delete(resolve);
      if (waiting.size === 0) this.#waiting.delete(name);
    }
  }
}
