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
    this.#deleting = this.#deleting.then(async () => {
      try {
        await this.#remove(path);
      } catch (err) {
        this.#log.warn('could not delete what is of no use any more; the next start tries again', { path, error: err });
      }
    });
  }

  /** Resolves when everything handed over so far is off the disk. */
  async settled(): Promise<void> {
    await this.#deleting;
  }
}
