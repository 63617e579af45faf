/** One piece of work that several may want. */
interface Flight<T, E> {
  readonly result: Promise<T>;
  readonly stop: AbortController;
  readonly listeners: Set<(event: E) => void>;
  /** What was told lately, for those who join later. */
  readonly told: E[];
  waiting: number;
}

const mostTold = 4096;

/**
 * Does equal work that is asked for at the same time once. Whoever joins hears what was told before. Who leaves (by aborting) does not disturb
 * the others; when the last one has left, the work is stopped. The one whose work it is waits for its end in any case: the work uses what is theirs.
 */
export class SharedWork<T, E> {
  readonly #flights = new Map<string, Flight<T, E>>();

  /** Rejects with the signal's reason when it aborts, after the work has ended if nobody else wants it. */
  async run(
    key: string,
    work: (tell: (event: E) => void, signal: AbortSignal) => Promise<T>,
    onEvent: (event: E) => void,
    signal: AbortSignal,
  ): Promise<T> {
    signal.throwIfAborted();
    const { flight, isOwn } = this.#join(key, work, onEvent);
    const left = Promise.withResolvers<never>();
    left.promise.catch(() => undefined);
    const onAbort = (): void => {
      flight.listeners.delete(onEvent);
      flight.waiting -= 1;
      const end = (): void => left.reject(signal.reason);
      if (flight.waiting > 0 && !isOwn) return end();
      if (flight.waiting === 0) {
        // New ones begin anew: this one is going down.
        if (this.#flights.get(key) === flight) this.#flights.delete(key);
        flight.stop.abort(signal.reason);
      }
      flight.result.then(end, end);
    };
    signal.addEventListener('abort', onAbort, { once: true });
    try {
      const result = await Promise.race([flight.result, left.promise]);
      signal.throwIfAborted();
      return result;
    } catch (err) {
      signal.throwIfAborted();
      throw err;
    } finally {
      signal.removeEventListener('abort', onAbort);
      flight.listeners.delete(onEvent);
    }
  }

  #join(
    key: string,
    work: (tell: (event: E) => void, signal: AbortSignal) => Promise<T>,
    onEvent: (event: E) => void,
  ): { readonly flight: Flight<T, E>; readonly isOwn: boolean } {
    const known = this.#flights.get(key);
    if (known !== undefined) {
      known.waiting += 1;
      for (const event of known.told) onEvent(event);
      known.listeners.add(onEvent);
      return { flight: known, isOwn: false };
    }
    const stop = new AbortController();
    const listeners = new Set([onEvent]);
    const told: E[] = [];
    const tell = (event: E): void => {
      told.push(event);
      if (told.length > mostTold) told.shift();
      for (const listener of listeners) listener(event);
    };
    const result = work(tell, stop.signal).finally(() => {
      if (this.#flights.get(key) === flight) this.#flights.delete(key);
    });
    result.catch(() => undefined);
    const flight: Flight<T, E> = { result, stop, listeners, told, waiting: 1 };
    this.#flights.set(key, flight);
    return { flight, isOwn: true };
  }
}
