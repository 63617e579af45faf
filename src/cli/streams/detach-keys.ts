import { ExitError } from '../errors.ts';

export const defaultDetachKeys = 'ctrl-p,ctrl-q';

/** `ctrl-p,ctrl-q` or plain characters, as the bytes that a terminal sends. Throws ExitError on keys nobody can type. */
export function parseDetachKeys(text: string): Uint8Array {
  const bytes = (text === '' ? defaultDetachKeys : text).split(',').map(key => {
    if (key.length === 1) return key.charCodeAt(0);
    const control = /^ctrl-([a-z@[\\\]^_])$/.exec(key.toLowerCase())?.[1];
    if (control === undefined) throw new ExitError(1, `invalid detach keys (${text}): Unknown character: '${key}'`);
    return control === '@' ? 0 : control.charCodeAt(0) & 0x1f;
  });
  return Uint8Array.from(bytes);
}

/** Finds the detach keys in what is typed. Bytes that may be their beginning are held back until the next ones show that they are not. */
export class DetachWatcher {
  readonly #keys: Uint8Array;
  #matched = 0;

  constructor(keys: Uint8Array) {
    this.#keys = keys;
  }

  /** What to pass on, and whether the keys were complete. */
  push(typed: Uint8Array): { readonly pass: Uint8Array; readonly detached: boolean } {
    const pass: number[] = [];
    for (const byte of typed) {
      if (byte === this.#keys[this.#matched]) {
        this.#matched += 1;
        if (this.#matched === this.#keys.length) return { pass: Uint8Array.from(pass), detached: true };
        continue;
      }
      pass.push(...this.#keys.subarray(0, this.#matched));
      this.#matched = byte === this.#keys[0] ? 1 : 0;
      if (this.#matched === 0) pass.push(byte);
    }
    return { pass: Uint8Array.from(pass), detached: false };
  }
}
