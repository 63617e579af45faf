import { appendFileSync, closeSync, openSync, writeSync } from 'node:fs';
import { failedPrecondition } from '#base/errors.ts';

/** One line of the audit log: who did what, and how it ended. Never holds credentials. */
export interface AuditEntry {
  readonly time: string;
  readonly id: string;
  readonly actor: string;
  readonly remote: string;
  readonly userAgent: string;
  readonly method: string;
  readonly path: string;
  readonly status: number;
  readonly action?: string | undefined;
  readonly repository?: string | undefined;
  readonly reference?: string | undefined;
  readonly digest?: string | undefined;
  readonly bytes?: number | undefined;
  readonly from?: string | undefined;
  readonly error?: string | undefined;
  readonly ms: number;
}

/** Writes one JSON object a line, to a file or to standard output. */
export class AuditLog implements Disposable {
  readonly #path: string;
  #fd: number | undefined;
  #waiting: string[] = [];
  readonly #onFailure: (err: unknown) => void;

  /** `-` is standard output. Throws FailedPrecondition when the file cannot be opened. */
  constructor(path: string, onFailure: (err: unknown) => void) {
    this.#path = path;
    this.#onFailure = onFailure;
    this.reopen();
  }

  /** After somebody has moved the file away. */
  reopen(): void {
    if (this.#path === '-') return;
    this.flush();
    try {
      const next = openSync(this.#path, 'a', 0o640);
      if (this.#fd !== undefined) closeSync(this.#fd);
      this.#fd = next;
    } catch (err) {
      throw failedPrecondition(`the audit log ${this.#path} cannot be opened: ${err instanceof Error ? err.message : String(err)}`, {
        cause: err,
      });
    }
  }

  /** What many requests of one moment have to say is written at once. */
  write(entry: AuditEntry): void {
    this.#waiting.push(JSON.stringify(entry));
    if (this.#waiting.length === 1) setImmediate(() => this.flush());
  }

  flush(): void {
    if (this.#waiting.length === 0) return;
    const text = `${this.#waiting.join('\n')}\n`;
    this.#waiting = [];
    try {
      if (this.#path === '-') writeSync(1, text);
      else if (this.#fd !== undefined) appendFileSync(this.#fd, text);
    } catch (err) {
      this.#onFailure(err);
    }
  }

  [Symbol.dispose](): void {
    this.flush();
    if (this.#fd !== undefined) closeSync(this.#fd);
    this.#fd = undefined;
  }
}
