import { readSync } from 'node:fs';
import { dataLoss } from '#base/errors.ts';
import { readSome } from '#host/sys/fs.ts';

const messageBytes = 8;

/** How the daemon tells the unpacking process how many bytes of a growing file can be read; the end of the messages is the file's end. */
export function encodeReadable(bytes: number): Uint8Array {
  const message = Buffer.alloc(messageBytes);
  message.writeDoubleLE(bytes);
  return message;
}

/** Reads a growing file as far as messages allow, and waits for the next one there. */
export class GrowingReader {
  readonly #file: number;
  readonly #messages: number;
  readonly #buffer = Buffer.alloc(messageBytes * 64);
  #filled = 0;
  #readable = 0;
  #position = 0;

  constructor(file: number, messages: number) {
    this.#file = file;
    this.#messages = messages;
  }

  /** Like `readSome`: 0 is the end. */
  read(into: Uint8Array): number {
    while (this.#position === this.#readable) if (!this.#awaitMore()) return 0;
    const wanted = Math.min(into.length, this.#readable - this.#position);
    const count = readSome(this.#file, into.subarray(0, wanted));
    if (count === 0) throw dataLoss(`the layer has lost its end: ${String(this.#position)} of ${String(this.#readable)} bytes are there`);
    this.#position += count;
    return count;
  }

  /** The first bytes, without reading them: as many as asked for, if the file has so many. */
  peek(length: number): Uint8Array {
    while (this.#readable < length && this.#awaitMore());
    const head = new Uint8Array(Math.min(length, this.#readable));
    return head.subarray(0, readSync(this.#file, head, 0, head.length, 0));
  }

  /** Waits until the file is complete; returns the descriptor, for somebody who reads all of it. */
  complete(): number {
    while (this.#awaitMore());
    return this.#file;
  }

  #awaitMore(): boolean {
    const count = readSome(this.#messages, this.#buffer.subarray(this.#filled));
    if (count === 0) return false;
    this.#filled += count;
    const whole = this.#filled - (this.#filled % messageBytes);
    if (whole === 0) return true;
    this.#readable = this.#buffer.readDoubleLE(whole - messageBytes);
    this.#buffer.copyWithin(0, whole, this.#filled);
    this.#filled -= whole;
    return true;
  }
}
