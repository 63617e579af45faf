import type { ContainerStats } from '#api/types/stats.ts';
import { deadlineExceeded } from '#base/errors.ts';
import type { Containers } from '#client/containers.ts';
import { type UsageFigures, usageFigures } from './usage-figures.ts';

/** What is known of one container. */
export interface UsageRow {
  /** As it was asked for. */
  readonly container: string;
  readonly id: string;
  readonly name: string;
  /** Undefined: not known, or not any more. */
  readonly figures: UsageFigures | undefined;
}

interface Tracked {
  row: UsageRow;
  failure: unknown;
  readonly leaving: AbortController;
  readonly first: PromiseWithResolvers<void>;
}

const staleMs = 2000;
const pollMs = 1000;
// The runtime keeps at most 256 requests going at the same time; the others, which are short, share what streams leave.
const mostStreams = 200;

/** Follows what containers use, in the order in which they came. Dispose it to let go of the daemon. */
export class UsageBoard implements Disposable {
  readonly #containers: Containers;
  readonly #stream: boolean;
  readonly #tracked = new Map<string, Tracked>();
  readonly #leaving = new AbortController();
  #streams = 0;

  /** Without `stream` one report each is enough. */
  constructor(containers: Containers, options: { readonly stream: boolean }) {
    this.#containers = containers;
    this.#stream = options.stream;
  }

  /** Aborts with the board. */
  get signal(): AbortSignal {
    return this.#leaving.signal;
  }

  /** Known ones stay as they are. */
  add(container: string): void {
    if (this.#tracked.has(container)) return;
    const row = { container, id: '', name: '', figures: undefined };
    const tracked: Tracked = { row, failure: undefined, leaving: new AbortController(), first: Promise.withResolvers() };
    this.#tracked.set(container, tracked);
    void this.#follow(tracked);
  }

  remove(container: string): void {
    this.#tracked.get(container)?.leaving.abort(new Error('the container has gone'));
    this.#tracked.delete(container);
  }

  rows(): UsageRow[] {
    return Array.from(this.#tracked.values(), ({ row }) => row);
  }

  failures(): unknown[] {
    return Array.from(this.#tracked.values(), ({ failure }) => failure).filter(failure => failure !== undefined);
  }

  /** Resolves when each has reported, failed, or taken too long. */
  async firstReports(): Promise<void> {
    await Promise.all(Array.from(this.#tracked.values(), ({ first }) => first.promise));
  }

  [Symbol.dispose](): void {
    this.#leaving.abort(new Error('nobody looks any more'));
  }

  async #follow(tracked: Tracked): Promise<void> {
    const { row, leaving, first } = tracked;
    const signal = AbortSignal.any([leaving.signal, this.#leaving.signal]);
    const stale = (): void => {
      this.#lose(tracked, deadlineExceeded('timeout waiting for stats'));
      first.resolve();
    };
    let timer = setTimeout(stale, this.#stream ? staleMs : 2 * staleMs);
    try {
      for await (const report of this.#reports(row.container, signal)) {
        clearTimeout(timer);
        tracked.row = { container: row.container, id: report.id ?? '', name: report.name ?? '', figures: usageFigures(report) };
        tracked.failure = undefined;
        first.resolve();
        if (!this.#stream) return;
        timer = setTimeout(stale, staleMs);
      }
      this.#lose(tracked, undefined);
    } catch (err) {
      if (!signal.aborted) this.#lose(tracked, err);
    } finally {
      clearTimeout(timer);
      first.resolve();
    }
  }

  #lose(tracked: Tracked, failure: unknown): void {
    tracked.row = { ...tracked.row, figures: undefined };
    tracked.failure = failure;
  }

  async *#reports(container: string, signal: AbortSignal): AsyncGenerator<ContainerStats> {
    if (!this.#stream) return yield* await this.#containers.stats<ContainerStats>(container, { stream: false, signal });
    if (this.#streams >= mostStreams) return yield* this.#poll(container, signal);
    this.#streams += 1;
    try {
      yield* await this.#containers.stats<ContainerStats>(container, { stream: true, signal });
    } finally {
      this.#streams -= 1;
    }
  }

  async *#poll(container: string, signal: AbortSignal): AsyncGenerator<ContainerStats> {
    let previous: ContainerStats | undefined;
    for (;;) {
      for await (const report of await this.#containers.stats<ContainerStats>(container, { stream: false, oneShot: true, signal })) {
        yield previous === undefined ? report : { ...report, precpu_stats: previous.cpu_stats };
        previous = report;
      }
      await Bun.sleep(pollMs);
      signal.throwIfAborted();
    }
  }
}
