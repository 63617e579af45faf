import type { Cli } from '../cli.ts';
import { humanSize } from '../output/units.ts';

const updateMs = 75;
const digits = 3;
// Control sequences of terminals (ECMA-48, and DEC's for the cursor's place).
const [saved, restored, erased, hidden, shown] = ['\x1b7', '\x1b8', '\x1b[2K', '\x1b[?25l', '\x1b[?25h'];

/** Shows on stderr how much has been copied: a line that changes on a terminal, and in the end how much it was. */
export class CopyMeter implements AsyncDisposable {
  readonly #cli: Cli;
  readonly #header: string;
  readonly #isQuiet: boolean;
  #bytes = 0;
  #shown = -1;
  #timer: ReturnType<typeof setInterval> | undefined;

  constructor(cli: Cli, header: string, isQuiet: boolean) {
    this.#cli = cli;
    this.#header = header;
    this.#isQuiet = isQuiet;
    if (isQuiet || !cli.err.isTerminal) return;
    cli.err.write(`${saved}Preparing to copy...${hidden}`);
    this.#timer = setInterval(() => this.#show(), updateMs);
  }

  async *count(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, undefined> {
    for await (const chunk of source) {
      this.#bytes += chunk.length;
      yield chunk;
    }
  }

  /** Everything is there. */
  async finish(where: string): Promise<void> {
    await this[Symbol.asyncDispose]();
    if (!this.#isQuiet) this.#cli.err.line(`Successfully copied ${humanSize(this.#bytes, digits)} to ${where}`);
  }

  [Symbol.asyncDispose](): Promise<void> {
    if (this.#timer !== undefined) {
      clearInterval(this.#timer);
      this.#timer = undefined;
      this.#cli.err.write(`${shown}${restored}${erased}`);
    }
    return Promise.resolve();
  }

  #show(): void {
    if (this.#bytes === this.#shown) return;
    this.#shown = this.#bytes;
    this.#cli.err.write(`${restored}${erased}${this.#header}${humanSize(this.#bytes, digits)}`);
  }
}
