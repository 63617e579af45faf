/** Mutual exclusion per key, first come first served. A key that nobody holds takes no memory. */
export class KeyedLock {
  readonly #tails = new Map<string, Promise<void>>();

  /** Waits until the key is free. Dispose what it returns to free it again. */
  async acquire(key: string): Promise<Disposable> {
    const before = this.#tails.get(key);
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#tails.set(key, promise);
    await before;
    return {
      [Symbol.dispose]: () => {
        if (this.#tails.get(key) === promise) this.#tails.delete(key);
        resolve();
      },
    };
  }

  isHeld(key: string): boolean {
    return this.#tails.has(key);
  }

  async run<T>(key: string, action: () => Promise<T>): Promise<T> {
    using _held = await this.acquire(key);
    return await action();
  }
}
