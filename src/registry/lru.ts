/** What was used last, up to a total weight. Entries older than `maxAgeMs` count as absent. */
export class Lru<V> {
  readonly #entries = new Map<string, { readonly value: V; readonly weight: number; readonly since: number }>();
  readonly #maxWeight: number;
  readonly #maxAgeMs: number;
  #weight = 0;

  constructor(maxWeight: number, maxAgeMs = Number.POSITIVE_INFINITY) {
    this.#maxWeight = maxWeight;
    this.#maxAgeMs = maxAgeMs;
  }

  get(key: string): V | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined) return undefined;
    this.#entries.delete(key);
    if (performance.now() - entry.since > this.#maxAgeMs) {
      this.#weight -= entry.weight;
      return undefined;
    }
    this.#entries.set(key, entry);
    return entry.value;
  }

  set(key: string, value: V, weight = 1): void {
    this.delete(key);
    if (weight > this.#maxWeight) return;
    this.#entries.set(key, { value, weight, since: performance.now() });
    this.#weight += weight;
    for (const oldest of this.#entries.keys()) {
      if (this.#weight <= this.#maxWeight) break;
      this.delete(oldest);
    }
  }

  delete(key: string): void {
    const entry = this.#entries.get(key);
    if (entry === undefined) return;
    this.#entries.delete(key);
    this.#weight -= entry.weight;
  }

  clear(): void {
    this.#entries.clear();
    this.#weight = 0;
  }
}
