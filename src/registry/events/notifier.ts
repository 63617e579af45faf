import { setTimeout as pause } from 'node:timers/promises';
import { messageOf } from '#base/errors.ts';
import type { Logger } from '#base/log.ts';

export interface Endpoint {
  readonly name: string;
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly timeoutMs: number;
  /** After so many failures in a row there is a pause before the next attempt. */
  readonly threshold: number;
  readonly backoffMs: number;
  readonly ignoredMediaTypes: readonly string[];
  readonly ignoredActions: readonly string[];
}

/** One event as hooks get it (distribution, notifications). */
export interface HookEvent {
  readonly id: string;
  readonly timestamp: string;
  readonly action: string;
  readonly target: Readonly<Record<string, unknown>> & { readonly mediaType?: string | undefined };
  readonly request: Readonly<Record<string, string>>;
  readonly actor: { readonly name?: string };
  readonly source: { readonly addr: string; readonly instanceID: string };
}

const mediaType = 'application/vnd.docker.distribution.events.v2+json';
const maxQueued = 10_000;
const maxAtOnce = 50;

/** Tells others what happened, each at its own pace, in order, until it has been taken or the queue is full. */
export class Notifier {
  readonly #queues: readonly EndpointQueue[];

  constructor(endpoints: readonly Endpoint[], log: Logger) {
    this.#queues = endpoints.map(endpoint => new EndpointQueue(endpoint, log.with({ endpoint: endpoint.name })));
  }

  get isNeeded(): boolean {
    return this.#queues.length > 0;
  }

  send(event: HookEvent): void {
    for (const queue of this.#queues) queue.push(event);
  }

  get pending(): number {
    return this.#queues.reduce((sum, queue) => sum + queue.pending, 0);
  }

  get delivered(): number {
    return this.#queues.reduce((sum, queue) => sum + queue.delivered, 0);
  }

  get failures(): number {
    return this.#queues.reduce((sum, queue) => sum + queue.failures, 0);
  }

  get dropped(): number {
    return this.#queues.reduce((sum, queue) => sum + queue.dropped, 0);
  }

  /** Waits for what is queued, no longer than this; how many were not delivered. */
  async close(timeoutMs: number): Promise<number> {
    await Promise.race([Promise.all(this.#queues.map(queue => queue.idle())), pause(timeoutMs, undefined, { ref: false })]);
    for (const queue of this.#queues) queue.stop();
    return this.pending;
  }
}

class EndpointQueue {
  readonly #endpoint: Endpoint;
  readonly #log: Logger;
  readonly #queue: HookEvent[] = [];
  readonly #stopped = new AbortController();
  #running: Promise<void> | undefined;
  delivered = 0;
  failures = 0;
  dropped = 0;

  constructor(endpoint: Endpoint, log: Logger) {
    this.#endpoint = endpoint;
    this.#log = log;
  }

  get pending(): number {
    return this.#queue.length;
  }

  push(event: HookEvent): void {
    const { ignoredActions, ignoredMediaTypes } = this.#endpoint;
    if (ignoredActions.includes(event.action) || ignoredMediaTypes.includes(event.target.mediaType ?? '')) return;
    if (this.#queue.length >= maxQueued) {
      this.#queue.shift();
      this.dropped += 1;
      if (this.dropped % 1000 === 1) this.#log.warn('a hook does not take its events: the oldest are dropped', { dropped: this.dropped });
    }
    this.#queue.push(event);
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined;
    });
  }

  async idle(): Promise<void> {
    await this.#running;
  }

  stop(): void {
    this.#stopped.abort(new Error('the registry is shutting down'));
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopped;
    let inARow = 0;
    while (this.#queue.length > 0 && !signal.aborted) {
      const batch = this.#queue.slice(0, maxAtOnce);
      try {
        await this.#post(batch, signal);
        this.#queue.splice(0, this.#queue.findIndex(event => event === batch.at(-1)) + 1);
        this.delivered += batch.length;
        inARow = 0;
      } catch (err) {
        this.failures += 1;
        inARow += 1;
        if (inARow === 1) this.#log.warn('a hook did not take its events: they are sent again', { error: messageOf(err) });
        await pause(inARow >= this.#endpoint.threshold ? this.#endpoint.backoffMs : retryMs, undefined, { signal }).catch(() => undefined);
      }
    }
  }

  async #post(events: readonly HookEvent[], signal: AbortSignal): Promise<void> {
    const { url, headers, timeoutMs } = this.#endpoint;
    const response = await fetch(url, {
      method: 'POST',
      headers: { 'Content-Type': mediaType, ...headers },
      body: JSON.stringify({ events }),
      redirect: 'manual',
      signal: AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]),
    });
    await response.body?.cancel();
    if (response.status < 200 || response.status >= 400) throw new Error(`status ${String(response.status)}`);
  }
}

const retryMs = 100;
