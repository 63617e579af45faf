import { unavailable } from '#base/errors.ts';
import type { ClientSession } from './client-session.ts';

const patienceMs = 5_000;

/** The sessions that clients hold open, by their ids. A client may ask for a build a moment before its session is here. */
export class Sessions {
  readonly #open = new Map<string, ClientSession>();
  readonly #waiting = new Map<string, Set<(session: ClientSession) => void>>();

  /** Keeps a session until its connection is closed. */
  async hold(session: ClientSession): Promise<void> {
    this.#open.set(session.id, session);
    for (const tell of this.#waiting.get(session.id) ?? []) tell(session);
    try {
      await session.closed;
    } finally {
      if (this.#open.get(session.id) === session) this.#open.delete(session.id);
    }
  }

  /** Rejects with Unavailable when the session does not come. */
  async get(id: string, signal: AbortSignal): Promise<ClientSession> {
    const known = this.#open.get(id);
    if (known !== undefined) return known;
    if (id === '') throw unavailable('this build needs a session of the client, and names none');
    const { promise, resolve, reject } = Promise.withResolvers<ClientSession>();
    const waiting = this.#waiting.get(id) ?? new Set();
    this.#waiting.set(id, waiting.add(resolve));
    const timer = setTimeout(
      () => reject(unavailable(`no active session for ${id}: the client has not opened it, or has closed it`)),
      patienceMs,
    );
    const stop = (): void => reject(signal.reason as Error);
    signal.addEventListener('abort', stop, { once: true });
    try {
      return await promise;
    } finally {
      clearTimeout(timer);
      signal.removeEventListener('abort', stop);
      waiting.delete(resolve);
      if (waiting.size === 0) this.#waiting.delete(id);
    }
  }
}
