import { resourceExhausted } from '#base/errors.ts';
import type { EngineEvent, EventPublisher } from '#core/events.ts';
import { createNanoClock } from './clock.ts';
import { matchesEvent } from './filter.ts';
import type { Filters } from './filter.ts';

export interface Subscription {
  /** Past events from this moment on go first. Undefined, with `untilNano` undefined too: only new ones. */
  readonly sinceNano: bigint | undefined;
  /** The stream ends with the last event up to this moment. */
  readonly untilNano: bigint | undefined;
  readonly filters: Filters;
}

export interface EventBus extends EventPublisher {
  /**
   * Events in the order published. Subscribed when it returns: nothing published after is missed. Ends when the signal aborts; rejects with
   * ResourceExhausted when its reader falls too far behind.
   */
  subscribe(options: Subscription, signal: AbortSignal): AsyncIterable<EngineEvent>;
  /** How many are subscribed. */
  readonly listenerCount: number;
}

/** How many past events are kept. */
const keptEvents = 256;
/** How many events a reader may be behind. */
const backlogLimit = 16_384;

export function createEventBus(now: () => bigint = createNanoClock()): EventBus {
  const past: EngineEvent[] = [];
  const listeners = new Set<(event: EngineEvent) => void>();
  return {
    get listenerCount() {
      return listeners.size;
    },
    publish(event) {
      const published: EngineEvent = { ...event, timeNano: now() };
      past.push(published);
      if (past.length > keptEvents) past.shift();
      for (const listener of listeners) listener(published);
    },
    subscribe(options, signal) {
      const { sinceNano, untilNano, filters } = options;
      const wanted = (event: EngineEvent): boolean =>
        (sinceNano === undefined || event.timeNano >= sinceNano) &&
        (untilNano === undefined || event.timeNano <= untilNano) &&
        matchesEvent(event, filters);
      const queue = sinceNano === undefined && untilNano === undefined ? [] : past.filter(wanted);
      const remainingMs = untilNano === undefined ? undefined : Number((untilNano - now()) / 1_000_000n);
      return drain(queue, wanted, remainingMs, listeners, signal);
    },
  };
}

function drain(
  queue: EngineEvent[],
  wanted: (event: EngineEvent) => boolean,
  remainingMs: number | undefined,
  listeners: Set<(event: EngineEvent) => void>,
  signal: AbortSignal,
): AsyncIterable<EngineEvent> {
  let wake: () => void = () => undefined;
  let state: 'open' | 'ended' | 'overrun' = 'open';
  const close = (how: 'ended' | 'overrun'): void => {
    if (state === 'open') state = how;
    listeners.delete(listener);
    signal.removeEventListener('abort', end);
    clearTimeout(timer);
    wake();
  };
  const end = (): void => close('ended');
  const listener = (event: EngineEvent): void => {
    if (!wanted(event)) return;
    if (queue.length >= backlogLimit) return close('overrun');
    queue.push(event);
    wake();
  };
  // Timers count at most 2^31 ms; later ends are as good as none.
  const timer = remainingMs === undefined || remainingMs > 0x7fff_ffff ? undefined : setTimeout(end, Math.max(0, remainingMs));
  if (signal.aborted || (remainingMs !== undefined && remainingMs <= 0)) end();
  else {
    listeners.add(listener);
    signal.addEventListener('abort', end, { once: true });
  }
  return {
    async *[Symbol.asyncIterator]() {
      try {
        for (;;) {
          const event = queue.shift();
          if (event !== undefined) yield event;
          else if (state === 'ended') return;
          else if (state === 'overrun')
            throw resourceExhausted(`the event stream was read too slowly: more than ${backlogLimit} events waited`);
          else await new Promise<void>(resolve => (wake = resolve));
        }
      } finally {
        end();
      }
    },
  };
}
