import type { ChainId, PendingLayer } from '#core/snapshots.ts';
import type { Digest } from '#oci/digest.ts';
import type { ImageProgress, Report } from './model.ts';

/** Does the work of one layer: downloads, stores and unpacks it. The signal aborts when nobody wants it any more. */
export type FetchLayer = (report: Report, signal: AbortSignal) => Promise<PendingLayer>;

/** One's part in the fetching of a layer. Leaving ends the work when nobody else takes part, and drops the layer unless it was committed. */
export interface LayerTicket extends AsyncDisposable {
  readonly layer: Promise<PendingLayer>;
}

/**
 * Layers being fetched, by their place and the blob they come in: pulls that want the same one share the work and all see its progress. The same
 * layer in another compression is another blob, which its own image needs.
 */
export class LayerFlights {
  readonly #flights = new Map<string, Flight>();

  join(chainId: ChainId, blob: Digest, fetch: FetchLayer, report: Report): LayerTicket {
    const key = `${chainId} ${blob}`;
    const flight = this.#flights.get(key) ?? this.#start(key, fetch);
    const watcher: Report = progress => report(progress);
    flight.watchers.add(watcher);
    if (flight.last !== undefined) report(flight.last);
    return {
      // It is everybody's: whoever commits it first does so for all, and leaving drops it.
      layer: flight.layer.then(layer => ({ ...shared(layer), [Symbol.asyncDispose]: () => Promise.resolve() })),
      [Symbol.asyncDispose]: async () => {
        if (!flight.watchers.delete(watcher) || flight.watchers.size > 0) return;
        if (this.#flights.get(key) === flight) this.#flights.delete(key);
        flight.stop.abort(new Error('nobody waits for this layer any more'));
        const layer = await flight.layer.catch(() => undefined);
        await layer?.[Symbol.asyncDispose]();
      },
    };
  }

  #start(key: string, fetch: FetchLayer): Flight {
    const stop = new AbortController();
    const watchers = new Set<Report>();
    const toAll: Report = progress => {
      flight.last = progress;
      for (const watcher of watchers) watcher(progress);
    };
    const flight: Flight = { watchers, stop, last: undefined, layer: Promise.resolve().then(() => fetch(toAll, stop.signal)) };
    // A flight that failed must not be joined: the next pull tries anew.
    flight.layer.catch(() => {
      if (this.#flights.get(key) === flight) this.#flights.delete(key);
    });
    this.#flights.set(key, flight);
    return flight;
  }
}

interface Flight {
  readonly layer: Promise<PendingLayer>;
  readonly watchers: Set<Report>;
  readonly stop: AbortController;
  last: ImageProgress | undefined;
}

const shared = (layer: PendingLayer): Pick<PendingLayer, 'unpacked' | 'commit' | 'replace'> => ({
  unpacked: layer.unpacked,
  commit: (chainId, parent) => layer.commit(chainId, parent),
  replace: chainId => layer.replace(chainId),
});
