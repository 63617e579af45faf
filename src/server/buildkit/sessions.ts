import { Arrivals } from '#base/arrivals.ts';
import { unavailable } from '#base/errors.ts';
import type { ClientSession } from './client-session.ts';

const patienceMs = 5_000;

/** The sessions that clients hold open, by their ids. A client may ask for a build a moment before its session is here. */
export class Sessions {
  readonly #open = new Arrivals<ClientSession>();

  /** Keeps a session until its connection is closed. */
  async hold(session: ClientSession): Promise<void> {
    this.#open.arrive(session.id, session);
    try {
      await session.closed;
    } finally {
      this.#open.leave(session.id, session);
    }
  }

  /** Rejects with Unavailable when the session does not come. */
  async get(id: string, signal: AbortSignal): Promise<ClientSession> {
    if (id === '') throw unavailable('this build needs a session of the client, and names none');
    const missing = (): Error => unavailable(`no active session for ${id}: the client has not opened it, or has closed it`);
    return await this.#open.get(id, { patienceMs, missing }, signal);
  }
}
