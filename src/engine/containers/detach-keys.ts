import { invalidArgument } from '#base/errors.ts';

const defaultKeys = [16, 17];

/** The bytes of `ctrl-p,ctrl-q`, `ctrl-@,x`, …; empty: the default. Rejects with InvalidArgument. */
export function parseDetachKeys(text: string): number[] {
  if (text === '') return defaultKeys;
  return text.split(',').map(key => {
    const control = /^ctrl-(.)$/i.exec(key)?.[1]?.toLowerCase();
    const code = control === undefined ? (key.length === 1 ? key.charCodeAt(0) : -1) : controlCode(control);
    if (code < 0 || code > 127) throw invalidArgument(`Invalid detach keys (${text}) provided: unknown character: '${key}'`);
    return code;
  });
}

const controlCode = (key: string): number =>
  /[a-z]/.test(key) ? key.charCodeAt(0) - 96 : '@[\\]^_'.includes(key) ? key.charCodeAt(0) - 64 : -1;

/** Watches what a client types for the detach keys. A beginning of the sequence is held back until it is clear that it is none. */
export class DetachScanner {
  readonly #keys: Uint8Array;
  #matched = 0;

  constructor(keys: readonly number[]) {
    this.#keys = Uint8Array.from(keys);
  }

  /** What to pass on, and whether the sequence is complete: what comes after it is nobody's. */
  scan(chunk: Uint8Array): { readonly pass: Uint8Array; readonly detached: boolean } {
    if (this.#matched === 0 && !chunk.includes(this.#keys[0] ?? -1)) return { pass: chunk, detached: false };
    const pass: number[] = [];
    for (const byte of chunk) {
      const held = [...this.#keys.subarray(0, this.#matched), byte];
      // What is held may begin with none of it, or with a shorter beginning of the sequence further on.
      while (held.some((each, at) => each !== this.#keys[at])) pass.push(held.shift() ?? byte);
      this.#matched = held.length;
      if (this.#matched === this.#keys.length) {
        this.#matched = 0;
        return { pass: Uint8Array.from(pass), detached: true };
      }
    }
    return { pass: Uint8Array.from(pass), detached: false };
  }
}
