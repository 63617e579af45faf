import { readFile, writeFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import type { Hierarchies } from './hierarchies.ts';

/** For how long after one migration the next is surely free. */
const freshMs = 5;
/** How often a migration is repeated while the free time is to last. */
const repeatMs = 3;

/**
 * Moving a process into a cgroup makes the kernel wait until every CPU has passed a quiet state (8 to 20 ms), unless somebody has moved one just
 * before. A container needs a move to start; when one is expected, another is made beforehand, so that this wait goes on while the rest is made
 * ready: this process is moved to where it is already, again and again for as long as the container's move is to find the wait over.
 */
export class MigrationStarter {
  readonly #hierarchies: Hierarchies;
  #isUnderWay = false;
  #doneAt = Number.NEGATIVE_INFINITY;
  #wantedUntil = Number.NEGATIVE_INFINITY;
  #holders = 0;

  constructor(hierarchies: Hierarchies) {
    this.#hierarchies = hierarchies;
  }

  /**
   * A migration is expected within this many milliseconds. Costs the caller nothing and cannot fail. The result tells tests when it is over; it does
   * when the time has passed and nobody holds.
   */
  async begin(withinMs = 0): Promise<void> {
    this.#wantedUntil = Math.max(this.#wantedUntil, performance.now() + withinMs);
    if (this.#isUnderWay || performance.now() - this.#doneAt < freshMs) return;
    this.#isUnderWay = true;
    try {
      // Read anew: whoever runs this daemon may have moved it.
      const directory = ownDirectory(this.#hierarchies, await readFile('/proc/self/cgroup', 'utf8'));
      if (directory === undefined) return;
      do {
        // 0 is the writer itself.
        await writeFile(`${directory}/cgroup.procs`, '0');
        this.#doneAt = performance.now();
        if (this.#isWanted) await delay(repeatMs);
      } while (this.#isWanted);
    } catch {
      // Then the first real move waits.
    } finally {
      this.#isUnderWay = false;
      this.#doneAt = performance.now();
    }
  }

  get #isWanted(): boolean {
    return this.#holders > 0 || performance.now() < this.#wantedUntil;
  }

  /** A process is being started: migrations stay free until this is disposed. */
  hold(): Disposable {
    this.#holders += 1;
    void this.begin();
    return {
      [Symbol.dispose]: () => {
        this.#holders -= 1;
        if (this.#holders === 0) this.#wantedUntil = Number.NEGATIVE_INFINITY;
      },
    };
  }
}

/** A cgroup of this process, from its /proc/self/cgroup. Undefined when none can be reached. */
export function ownDirectory({ controllers, unified }: Hierarchies, procSelfCgroup: string): string | undefined {
  for (const line of procSelfCgroup.split('\n')) {
    const [, names, ...rest] = line.split(':');
    const path = rest.join(':');
    const mount = names === undefined ? undefined : names === '' ? unified : controllers.get(names.split(',')[0] ?? '');
    if (mount === undefined || path.startsWith('/..')) continue;
    return path === '/' ? mount : mount + path;
  }
  return undefined;
}
