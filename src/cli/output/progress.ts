import type { JsonMessage, ProgressDetail } from '#api/types/image.ts';
import { internal } from '#base/errors.ts';
import type { Output } from './terminal.ts';
import { humanSize } from './units.ts';

/**
 * Shows the messages of a pull, push, load or import until they end: on a terminal one line for each layer, redrawn in place; elsewhere one line for
 * each message that is news. Without an output they are only read. Rejects with the first error among them. `onAux` gets what is not for people.
 */
export async function showProgress(
  messages: AsyncIterable<JsonMessage>,
  out: Output | undefined,
  onAux?: (aux: unknown) => void,
): Promise<void> {
  const display = out === undefined ? undefined : out.isTerminal ? new TerminalProgress(out) : new PlainProgress(out);
  for await (const message of messages) {
    if (message.errorDetail !== undefined || (message.error ?? '') !== '') {
      throw internal(message.errorDetail?.message ?? message.error ?? 'the daemon reported an error without words');
    }
    if (message.aux !== undefined && message.aux !== null) {
      onAux?.(message.aux);
      continue;
    }
    display?.show(message);
  }
}

interface Display {
  show(message: JsonMessage): void;
}

const hasProgress = ({ progressDetail }: JsonMessage): boolean => progressDetail !== undefined && Object.keys(progressDetail).length > 0;

class PlainProgress implements Display {
  readonly #out: Output;

  constructor(out: Output) {
    this.#out = out;
  }

  show(message: JsonMessage): void {
    if (message.stream !== undefined && message.stream !== '') this.#out.write(message.stream);
    else if (!hasProgress(message) && message.status !== undefined) this.#out.line(`${prefix(message)}${message.status}`);
  }
}

const prefix = (message: JsonMessage): string => (message.id === undefined || message.id === '' ? '' : `${message.id}: `);

class TerminalProgress implements Display {
  readonly #out: Output;
  readonly #rows = new Map<string, number>();

  constructor(out: Output) {
    this.#out = out;
  }

  show(message: JsonMessage): void {
    const { id = '', status = '', stream = '' } = message;
    if (stream !== '') {
      this.#out.write(stream);
      return;
    }
    if (id === '' || message.progressDetail === undefined) {
      // A line of its own: the block of layers above is finished.
      this.#rows.clear();
      this.#out.write(`${prefix(message)}${status}\r\n`);
      return;
    }
    let row = this.#rows.get(id);
    let text = '';
    if (row === undefined) {
      row = this.#rows.size;
      this.#rows.set(id, row);
      text += '\n';
    }
    const up = this.#rows.size - row;
    const width = this.#out.size?.columns ?? 200;
    const bar = progressText(message.progressDetail, width - id.length - status.length - 4);
    text += `\x1b[${up}A\x1b[2K\r${prefix(message)}${status}${bar === '' ? '' : ` ${bar}`}\r\x1b[${up}B`;
    this.#out.write(text);
  }
}

/** `[====>    ]  12.3MB/45.6MB`, in the columns there are. */
export function progressText(detail: ProgressDetail, columns: number): string {
  const { current = 0, total = 0, hidecounts = false, units = '' } = detail;
  if (current <= 0 && total <= 0) return '';
  const show = (value: number): string => (units === '' ? humanSize(value).padStart(8) : String(value));
  if (total <= 0) return units === '' ? show(current) : `${current} ${units}`;
  const percent = Math.min(50, Math.trunc((current / total) * 50));
  const barWidth = 50;
  const bar =
    columns > 110
      ? `[${'='.repeat(percent)}>${' '.repeat(Math.max(0, barWidth - percent))}] `
      : columns > 60
        ? `[${'='.repeat(Math.trunc(percent / 2))}>${' '.repeat(25 - Math.trunc(percent / 2))}] `
        : '';
  if (hidecounts) return bar;
  const counts = units === '' ? `${show(current)}/${humanSize(total)}` : `${current}/${total} ${units}`;
  return bar + (current > total ? show(current) : counts);
}
