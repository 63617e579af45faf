import { closeSync, constants, openSync, readSync } from 'node:fs';
import { dataLoss, isErrno } from '#base/errors.ts';
import { encodeName } from '#oci/tar/names.ts';
import { readRecipe } from './recipe.ts';
import { crc32 } from './crc32.ts';

const chunkBytes = 1024 * 1024;

/**
 * The tar of a layer, made of its files, which are in the process's root directory. A chunk is valid until the next one is asked for. `onDamage` hears
 * of every file whose bytes are not those that were unpacked, and decides by returning that the tar goes on with zeros; throwing ends it.
 */
export function* assembleTar(recipeFd: number, onDamage: (name: string, what: string) => void): Generator<Uint8Array, void, undefined> {
  const buffer = Buffer.allocUnsafe(chunkBytes);
  const files = new OpenFile();
  try {
    for (const step of readRecipe(recipeFd)) {
      if (step.is === 'bytes') {
        yield step.bytes;
        continue;
      }
      let actual = 0;
      let isShort = false;
      for (let done = 0; done < step.length; ) {
        const wanted = Math.min(buffer.length, step.length - done);
        const count: number = isShort ? 0 : files.read(step.name, buffer.subarray(0, wanted), step.offset + done);
        isShort = count === 0;
        const piece = buffer.subarray(0, isShort ? wanted : count);
        if (isShort) piece.fill(0);
        actual = crc32(piece, actual);
        done += piece.length;
        yield piece;
      }
      if (isShort) onDamage(step.name, files.isThere ? 'is shorter than it was' : 'is not there');
      else if (actual !== step.crc32) onDamage(step.name, 'has other contents');
    }
  } finally {
    files.close();
  }
}

/** Ends the making of a tar at the first damaged file. */
export function refuseDamage(name: string, what: string): never {
  throw dataLoss(`the layer is damaged on disk: "${name}" ${what}`);
}

const { O_NOFOLLOW, O_NONBLOCK, O_RDONLY } = constants;

/** The file that was read last: parts of a file follow each other. */
class OpenFile {
  #name: string | undefined;
  #fd: number | undefined;

  get isThere(): boolean {
    return this.#fd !== undefined;
  }

  /** 0: there is no such file, or it ends before. */
  read(name: string, into: Uint8Array, offset: number): number {
    if (name !== this.#name) this.#open(name);
    try {
      return this.#fd === undefined ? 0 : readSync(this.#fd, into, 0, into.length, offset);
    } catch (err) {
      if (!isErrno(err, 'EISDIR', 'EINVAL', 'ESPIPE')) throw err;
      return 0;
    }
  }

  #open(name: string): void {
    this.close();
    this.#name = name;
    try {
      this.#fd = openSync(Buffer.from(encodeName(`/${name}`)), O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    } catch (err) {
      if (!isErrno(err, 'ENOENT', 'ENOTDIR', 'ELOOP', 'ENXIO')) throw err;
    }
  }

  close(): void {
    if (this.#fd !== undefined) closeSync(this.#fd);
    this.#fd = undefined;
    this.#name = undefined;
  }
}
