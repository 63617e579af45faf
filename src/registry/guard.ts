import { KeyedLock } from '#base/keyed-lock.ts';
import type { Digest } from '#oci/digest.ts';
import type { Repository } from './names.ts';

/**
 * Keeps writers and the collector out of each other's way without stopping either for long:
 *
 * - Whoever adds to a repository holds it *shared*; the collector holds it *alone* while it decides about that one repository.
 * - Whoever writes a blob's bytes, and whoever removes them, holds the *digest*; storing a large blob may take minutes, in which no repository is held.
 * - A blob that is on its way into a repository is *kept*: its bytes stay although no repository has them yet.
 * - What is tied while the collector runs is noted, because the collector may have looked at that repository already.
 */
export class Guard {
  readonly #repositories = new Map<Repository, RepositoryGate>();
  readonly #digests = new KeyedLock();
  readonly #kept = new Map<Digest, number>();
  readonly #noted = new Set<Set<Digest>>();

  async shared<T>(name: Repository, action: () => Promise<T>): Promise<T> {
    const gate = this.#gateOf(name);
    while (gate.exclusive !== undefined) await gate.exclusive;
    gate.sharers += 1;
    try {
      return await action();
    } finally {
      gate.sharers -= 1;
      if (gate.sharers === 0) gate.idle?.resolve();
      this.#release(name, gate);
    }
  }

  /** New sharers wait until it is over; those that are there are waited for. */
  async alone<T>(name: Repository, action: () => Promise<T>): Promise<T> {
    const gate = this.#gateOf(name);
    while (gate.exclusive !== undefined) await gate.exclusive;
    const { promise, resolve } = Promise.withResolvers<void>();
    gate.exclusive = promise;
    try {
      if (gate.sharers > 0) {
        gate.idle = Promise.withResolvers<void>();
        await gate.idle.promise;
        gate.idle = undefined;
      }
      return await action();
    } finally {
      gate.exclusive = undefined;
      resolve();
      this.#release(name, gate);
    }
  }

  async withDigest<T>(digest: Digest, action: () => Promise<T>): Promise<T> {
    return await this.#digests.run(digest, action);
  }

  /** The bytes of this blob stay until it is disposed. Removals that are under way are not waited for: hold the digest to see them. */
  keep(digest: Digest): Disposable {
    this.#kept.set(digest, (this.#kept.get(digest) ?? 0) + 1);
    return {
      [Symbol.dispose]: () => {
        const left = (this.#kept.get(digest) ?? 1) - 1;
        if (left === 0) this.#kept.delete(digest);
        else this.#kept.set(digest, left);
      },
    };
  }

  isKept(digest: Digest): boolean {
    return this.#kept.has(digest);
  }

  /** Call it, keeping or holding the digest, when a blob is tied to a repository. */
  noteTied(digest: Digest): void {
    for (const noted of this.#noted) noted.add(digest);
  }

  /** Everything that is tied from now on until it is disposed. */
  noteFromNow(): Disposable & { has(digest: Digest): boolean } {
    const noted = new Set<Digest>();
    this.#noted.add(noted);
    return { has: digest => noted.has(digest), [Symbol.dispose]: () => void this.#noted.delete(noted) };
  }

  #gateOf(name: Repository): RepositoryGate {
    let gate = this.#repositories.get(name);
    if (gate === undefined) {
      gate = { sharers: 0, exclusive: undefined, idle: undefined, waiters: 0 };
      this.#repositories.set(name, gate);
    }
    gate.waiters += 1;
    return gate;
  }

  #release(name: Repository, gate: RepositoryGate): void {
    gate.waiters -= 1;
    if (gate.waiters === 0) this.#repositories.delete(name);
  }
}

interface RepositoryGate {
  sharers: number;
  exclusive: Promise<void> | undefined;
  idle: PromiseWithResolvers<void> | undefined;
  /** Everyone who is in or wants in. */
  waiters: number;
}
