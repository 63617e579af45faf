interface Item {
  readonly dueMs: number;
  readonly action: () => void;
}

/** Things to do at their time, however many, with one timer for all of them and none while there is nothing to do. */
export class Agenda<Key> implements Disposable {
  readonly #items = new Map<Key, Item>();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #wakesMs = Infinity;
  #closed = false;

  /** Does it after this many milliseconds, instead of what was planned for the key before. */
  plan(key: Key, afterMs: number, action: () => void): void {
    if (this.#closed) return;
    const dueMs = performance.now() + afterMs;
    this.#items.set(key, { dueMs, action });
    if (dueMs < this.#wakesMs) this.#wakeAt(dueMs);
  }

  /** Nothing planned is fine. */
  cancel(key: Key): void {
    this.#items.delete(key);
    if (this.#items.size === 0) this.#wakeAt(Infinity);
  }

  has(key: Key): boolean {
    return this.#items.has(key);
  }

  get size(): number {
    return this.#items.size;
  }

  [Symbol.dispose](): void {
    this.#closed = true;
    this.#items.clear();
    this.#wakeAt(Infinity);
  }

  #wakeAt(dueMs: number): void {
    clearTimeout(this.#timer);
    this.#wakesMs = dueMs;
    // A timer counts at most 2^31 ms; woken too early, it looks again.
    const afterMs = Math.min(Math.max(0, dueMs - performance.now()), 0x7fff_ffff);
    this.#timer = dueMs === Infinity ? undefined : setTimeout(() => this.#wake(), afterMs);
  }

  #wake(): void {
    const now = performance.now();
    const due = [...this.#items].filter(([, item]) => item.dueMs <= now).toSorted(([, a], [, b]) => a.dueMs - b.dueMs);
    for (const [key] of due) this.#items.delete(key);
    this.#wakeAt(Math.min(Infinity, ...this.#items.values().map(item => item.dueMs)));
    for (const [, { action }] of due) action();
  }
}
