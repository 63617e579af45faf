import { rm } from 'node:fs/promises';
import type { Logger } from './log.ts';

/**
 * Deletes files and directories that nothing names any more, in the background and one after the other: it is work for the disk that nobody waits for.
 * Whoever owns the place finds what a crash has left at its next start.
 */
export class Rubbish {
  readonly #log: Logger;
  readonly #remove: (path: string) => Promise<void>;
  #deleting: Promise<void> = Promise.resolve();

  /** `remove`: for what takes more than deleting files. */
  constructor(log: Logger, remove = (path: string): Promise<void> => rm(path, { recursive: true, force: true })) {
    this.#log = log;
    this.#remove = remove;
  }

  /** A path that does not exist is fine; a failure is logged. */
  delete(path: string): void {
    this.add(path, () => this.#remove(path));
  }

  /** Something else of no use any more, with a step that takes it away. */
  add(what: string, step: () => Promise<void>): void {
    this.#deleting = this.#deleting.then(async () => {
      try {
        await step();
      } catch (err) {
        this.#log.warn('could not delete what is of no use any more; the next start tries again', { what, error: err });
      }
    });
  }

  /** Resolves when everything handed over so far is gone. */
  async settled(): Promise<void> {
    await this.#deleting;
  }
}
