import { cleanUp } from '#base/dispose.ts';
import type { Logger } from '#base/log.ts';
import type { NetworkDriver } from '#core/network-driver.ts';

const lingerMs = 2000;

/**
 * Interfaces go with their namespace, without anybody waiting. A process that someone else put into the namespace keeps it, and them, alive: then
 * they are removed one by one, which takes the kernel long.
 */
export class LingeringInterfaces {
  readonly #driver: NetworkDriver;
  readonly #log: Logger;
  readonly #waiting = new Map<ReturnType<typeof setTimeout>, readonly string[]>();

  constructor(driver: NetworkDriver, log: Logger) {
    this.#driver = driver;
    this.#log = log;
  }

  /** Removes those of these that are still there a moment later. */
  removeLater(names: readonly string[]): void {
    if (names.length === 0) return;
    const timer = setTimeout(() => {
      this.#waiting.delete(timer);
      void this.#remove(names);
    }, lingerMs);
    timer.unref();
    this.#waiting.set(timer, names);
  }

  /** Waits no longer. */
  async close(): Promise<void> {
    const names = [...this.#waiting.values()].flat();
    for (const timer of this.#waiting.keys()) clearTimeout(timer);
    this.#waiting.clear();
    if (names.length > 0) await this.#remove(names);
  }

  async #remove(names: readonly string[]): Promise<void> {
    const present = new Set(this.#driver.linkNames());
    const left = names.filter(name => present.has(name));
    await Promise.all(left.map(name => cleanUp(`interface ${name}`, this.#log, () => this.#driver.removeLink(name))));
  }
}
