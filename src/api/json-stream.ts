import type { JsonMessage } from './types/image.ts';
import { dataLoss } from '#base/errors.ts';

/** One object of a progress stream, with the separator that clients split at. */
export const formatMessage = (message: JsonMessage): string => `${JSON.stringify(message)}\r\n`;

export const errorMessage = (message: string, code?: number): JsonMessage => ({
  errorDetail: code === undefined ? { message } : { code, message },
  error: message,
});

/**
 * Takes a stream of JSON objects apart as it arrives. Every daemon ends each object with a line break (`\n` or `\r\n`), and a line break inside a JSON
 * text is escaped.
 */
export class JsonLines<T> {
  readonly #onValue: (value: T) => void;
  readonly #decoder = new TextDecoder();
  #pending = '';

  constructor(onValue: (value: T) => void) {
    this.#onValue = onValue;
  }

  push(chunk: Uint8Array): void {
    const lines = (this.#pending + this.#decoder.decode(chunk, { stream: true })).split('\n');
    this.#pending = lines.pop() ?? '';
    for (const line of lines) this.#take(line);
  }

  /** The stream has ended: takes a last object without a line break. */
  end(): void {
    const rest = this.#pending + this.#decoder.decode();
    this.#pending = '';
    this.#take(rest);
  }

  #take(line: string): void {
    const text = line.trim();
    if (text === '') return;
    let value: T;
    try {
      value = JSON.parse(text) as T;
    } catch (err) {
      throw dataLoss(`invalid JSON in the daemon's answer: ${text.slice(0, 200)}`, { cause: err });
    }
    this.#onValue(value);
  }
}
