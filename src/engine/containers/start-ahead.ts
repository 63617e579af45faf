import { unavailable } from '#base/errors.ts';

/** How long a container that was made waits for its start in full readiness. */
const patienceMs = 300;

/** Gets a container ready to run; goes on with what others can see once `gate` has resolved, and unmakes everything when it has rejected. */
export type BringUp = (gate: Promise<void>, signal: AbortSignal) => Promise<void>;

interface Pending {
  readonly id: string;
  readonly gate: PromiseWithResolvers<void>;
  readonly stop: AbortController;
  readonly timer: ReturnType<typeof setTimeout>;
  /** Settles when the container runs, or when all that was made for it is unmade. */
  readonly done: Promise<void>;
}

/**
 * Who makes a container mostly starts it next, and takes a few milliseconds to say so. Meanwhile that start begins: monitor, log and root get ready, which
 * nobody can see. Whatever else is done to the container, or nothing for a while, unmakes them first. One container at a time: with several clients there is
 * no time left over.
 */
export class StartAhead {
  #pending: Pending | undefined;

  /** Does nothing while another container waits for its start. */
  begin(id: string, bringUp: BringUp): void {
    if (this.#pending !== undefined) return;
    const gate = Promise.withResolvers<void>();
    // An end of the waiting that comes before anybody waits.
    gate.promise.catch(() => undefined);
    const stop = new AbortController();
    const done = bringUp(gate.promise, stop.signal);
    const timer = setTimeout(() => void this.abandon(id), patienceMs);
    const pending: Pending = { id, gate, stop, timer, done };
    this.#pending = pending;
    // A failure is not told: the start, when it comes, tries again and tells its own.
    done.catch(() => this.#forget(pending));
  }

  /** Goes on with a start that has begun; false when none has. Rejects with its failure. Call it with the container's lock held. */
  async finish(id: string, signal: AbortSignal): Promise<boolean> {
    const pending = this.#pending;
    if (pending?.id !== id) return false;
    if (pending.stop.signal.aborted) {
      await pending.done.catch(() => undefined);
      return false;
    }
    this.#forget(pending);
    const stop = (): void => pending.stop.abort(signal.reason);
    signal.addEventListener('abort', stop, { once: true });
    if (signal.aborted) stop();
    try {
      pending.gate.resolve();
      await pending.done;
    } finally {
      signal.removeEventListener('abort', stop);
    }
    return true;
  }

  /** Unmakes what was made for a container, or for whichever there is; resolves when it is gone. */
  async abandon(id?: string): Promise<void> {
    const pending = this.#pending;
    if (pending === undefined || (id !== undefined && pending.id !== id)) return;
    const reason = unavailable(`nobody started container ${pending.id} in time: start it again`);
    pending.gate.reject(reason);
    pending.stop.abort(reason);
    await pending.done.catch(() => undefined);
    this.#forget(pending);
  }

  #forget(pending: Pending): void {
    clearTimeout(pending.timer);
    if (this.#pending === pending) this.#pending = undefined;
  }
}
