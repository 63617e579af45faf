import { type BigIntStats, closeSync, lstatSync, openSync, readdirSync, readSync } from 'node:fs';
import type { FileSource } from '#core/build-files.ts';
import { linkTargetOf, xattrsOf } from '#host/snapshots/diff/entries.ts';
import { decodeName } from '#oci/tar/names.ts';
import { select, type Selected } from './selection.ts';

/** A digest over all that a copy of these sources would give a target, times aside. */
export function digestOf(sources: readonly FileSource[]): string {
  const digester = new Digester();
  for (const source of sources) {
    for (const selected of select(source)) digester.add(selected.name, selected.path, selected.stats, selected);
  }
  return digester.finish();
}

const chunkBytes = 1024 * 1024;
const slash = Buffer.from('/');

class Digester {
  readonly #hasher = new Bun.CryptoHasher('sha256');
  readonly #buffer = new Uint8Array(chunkBytes);

  add(name: string, path: Buffer, stats: BigIntStats, selected: Selected): void {
    this.#addOwn(name, path, stats, selected);
    if (stats.isFile()) this.#addContent(path);
    else if (stats.isDirectory()) this.#addBelow('', path, selected);
  }

  #addOwn(name: string, path: Buffer, stats: BigIntStats, { source }: Selected): void {
    const facts = [
      name,
      String(stats.mode & 0o170000n),
      stats.isSymbolicLink() ? '' : String(stats.mode & 0o7777n),
      source.keepOwners ? `${String(stats.uid)}:${String(stats.gid)}` : '',
      stats.isFile() ? String(stats.size) : '',
      stats.isSymbolicLink() ? linkTargetOf(path) : '',
      stats.isCharacterDevice() || stats.isBlockDevice() ? String(stats.rdev) : '',
    ];
    this.#hasher.update(`${JSON.stringify(facts)}\n`);
    for (const [key, value] of xattrsOf(path)) this.#hasher.update(`${JSON.stringify([key, Buffer.from(value).toString('hex')])}\n`);
  }

  #addBelow(directory: string, path: Buffer, selected: Selected): void {
    for (const bytes of readdirSync(path, { encoding: 'buffer' }).sort(Buffer.compare)) {
      const name = directory === '' ? decodeName(bytes) : `${directory}/${decodeName(bytes)}`;
      const childPath = Buffer.concat([path, slash, bytes]);
      const stats = lstatSync(childPath, { bigint: true });
      const isDirectory = stats.isDirectory();
      const exclusion = selected.exclusion(name, isDirectory);
      if (stats.isSocket() || exclusion === 'yes') continue;
      if (exclusion === 'no') this.#addOwn(name, childPath, stats, selected);
      if (isDirectory) this.#addBelow(name, childPath, selected);
      else if (stats.isFile()) this.#addContent(childPath);
    }
  }

  #addContent(path: Buffer): void {
    const fd = openSync(path, 'r');
    try {
      for (let count = readSync(fd, this.#buffer); count > 0; count = readSync(fd, this.#buffer)) {
        this.#hasher.update(this.#buffer.subarray(0, count));
      }
    } finally {
      closeSync(fd);
    }
  }

  finish(): string {
    return `sha256:${this.#hasher.digest('hex')}`;
  }
}
