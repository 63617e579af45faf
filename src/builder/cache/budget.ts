import type { Logger } from '#base/log.ts';

const pauseMs = 60_000;

/** Keeps the cache from growing without end: after builds, but not after each of many, what was used longest ago goes. */
export class CacheBudget {
  readonly #keepBytes: () => number | undefined;
  readonly #prune: (keepBytes: number) => Promise<void>;
  #lastMs = Number.NEGATIVE_INFINITY;
  #isRunning = false;

  constructor(keepBytes: () => number | undefined, prune: (keepBytes: number) => Promise<void>) {
    this.#keepBytes = keepBytes;
    this.#prune = prune;
  }

  /** Nobody waits for it. */
  keep(log: Logger): void {
    const keepBytes = this.#keepBytes();
    if (keepBytes === undefined || this.#isRunning || performance.now() - this.#lastMs < pauseMs) return;
    this.#isRunning = true;
    this.#prune(keepBytes)
      .catch((err: unknown) => log.warn('the build cache could not be cleaned up', { error: err }))
      .finally(() => {
        this.#isRunning = false;
        this.#lastMs = performance.now();
      });
  }
}
