import { writeSync } from 'node:fs';
import { isErrno } from '#base/errors.ts';

/**
 * Standard output or standard error. What is written has left when `write` returns, so nothing is lost when the process ends right afterwards.
 * Loading node:tty and process.stdout costs more than a whole short command: this asks for them only when somebody wants to know about the terminal.
 */
export class Output {
  readonly fd: number;
  #terminal: boolean | undefined;

  constructor(fd: number) {
    this.fd = fd;
  }

  write(data: string | Uint8Array): void {
    let rest = typeof data === 'string' ? Buffer.from(data) : data;
    while (rest.length > 0) {
      try {
        rest = rest.subarray(writeSync(this.fd, rest));
      } catch (err) {
        // Somebody who shares this pipe or terminal made it non-blocking.
        if (!isErrno(err, 'EAGAIN')) throw err;
        Atomics.wait(pause, 0, 0, 1);
      }
    }
  }

  line(text = ''): void {
    this.write(`${text}\n`);
  }

  get isTerminal(): boolean {
    this.#terminal ??= process.getBuiltinModule('node:tty').isatty(this.fd);
    return this.#terminal;
  }

  /** Columns and rows, when this is a terminal. */
  get size(): { readonly columns: number; readonly rows: number } | undefined {
    if (!this.isTerminal) return undefined;
    const stream = this.fd === 1 ? process.stdout : process.stderr;
    const [columns, rows] = stream.getWindowSize();
    return { columns, rows };
  }
}

const pause = new Int32Array(new SharedArrayBuffer(4));
