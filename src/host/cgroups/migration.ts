import { readFile, writeFile } from 'node:fs/promises';
import type { Hierarchies } from './hierarchies.ts';

/** How long after one migration the next is free. */
const freshMs = 5;

/**
 * Moving a process into a cgroup makes the kernel wait until every CPU has passed a quiet state (8 to 20 ms), unless somebody has moved one just
 * before. A container needs a move to start; when one is expected, another is made beforehand, so that this wait goes on while the rest is made
 * ready: this process is moved to where it is already.
 */
export class MigrationStarter {
  readonly #hierarchies: Hierarchies;
  #isUnderWay = false;
  #doneAt = Number.NEGATIVE_INFINITY;

  constructor(hierarchies: Hierarchies) {
    this.#hierarchies = hierarchies;
  }

  /** Costs the caller nothing and cannot fail. The result tells tests when it is over. */
  async begin(): Promise<void> {
    if (this.#isUnderWay || performance.now() - this.#doneAt < freshMs) return;
    this.#isUnderWay = true;
    try {
      // Read anew: whoever runs this daemon may have moved it.
      const directory = ownDirectory(this.#hierarchies, await readFile('/proc/self/cgroup', 'utf8'));
      // 0 is the writer itself.
      if (directory !== undefined) await writeFile(`${directory}/cgroup.procs`, '0');
    } catch {
      // Then the first real move waits.
    } finally {
      this.#isUnderWay = false;
      this.#doneAt = performance.now();
    }
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
