import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { isErrno } from '#base/errors.ts';
import { type NewTarEntry, tarHeader, tarPadding, tarTrailer } from '#oci/tar/writer.ts';
import type { ContextFile } from './context-files.ts';

/** A file whose content is at hand. */
export interface InlineFile {
  readonly path: string;
  readonly mode: number;
  readonly content: Uint8Array;
}

const batchBytes = 1 << 20;

/**
 * Writes a context as a tar archive: owners are root, times whole seconds, hard links stay links. The same files give the same bytes. At most about
 * a megabyte is in memory, whatever there is to send.
 */
export function* contextTar(root: string, files: Iterable<ContextFile>, inline: readonly InlineFile[] = []): Generator<Uint8Array> {
  const batch = new Batch();
  const links = new Map<string, string>();
  for (const file of files) {
    const path = join(root, file.path);
    const { stats } = file;
    const key = stats.isFile() && stats.nlink > 1 ? `${stats.dev}:${stats.ino}` : undefined;
    const earlier = key === undefined ? undefined : links.get(key);
    if (earlier !== undefined) {
      yield* batch.add(tarHeader({ ...entryOf(file), type: 'link', linkName: earlier, sizeBytes: 0 }));
      continue;
    }
    if (key !== undefined) links.set(key, file.path);
    if (stats.isFile()) yield* fileChunks(path, file, batch);
    else yield* batch.add(tarHeader(entryOf(file)));
  }
  for (const { path, mode, content } of inline) {
    yield* batch.add(tarHeader({ name: path, type: 'file', mode, sizeBytes: content.length }));
    yield* batch.add(content);
    yield* batch.add(tarPadding(content.length));
  }
  yield* batch.add(tarTrailer());
  yield* batch.flush();
}

/** Small pieces are put together: each chunk has its price. */
class Batch {
  #bytes = new Uint8Array(batchBytes);
  #length = 0;

  *add(piece: Uint8Array): Generator<Uint8Array> {
    if (this.#length + piece.length > batchBytes) yield* this.flush();
    if (piece.length > batchBytes) yield piece;
    else {
      this.#bytes.set(piece, this.#length);
      this.#length += piece.length;
    }
  }

  *flush(): Generator<Uint8Array> {
    if (this.#length === 0) return;
    yield this.#bytes.subarray(0, this.#length);
    this.#bytes = new Uint8Array(batchBytes);
    this.#length = 0;
  }
}

/** A file that grows while it is read is sent as long as it was, one that shrinks is filled up: an archive cannot take a size back. */
function* fileChunks(path: string, file: ContextFile, batch: Batch): Generator<Uint8Array> {
  let descriptor: number;
  try {
    descriptor = openSync(path, 'r');
  } catch (err) {
    // Gone since it was listed.
    if (isErrno(err, 'ENOENT')) return;
    throw err;
  }
  try {
    const sizeBytes = fstatSync(descriptor).size;
    yield* batch.add(tarHeader({ ...entryOf(file), sizeBytes }));
    for (let sent = 0; sent < sizeBytes; ) {
      const chunk = new Uint8Array(Math.min(batchBytes, sizeBytes - sent));
      let filled = 0;
      while (filled < chunk.length) {
        const read = readSync(descriptor, chunk, filled, chunk.length - filled, null);
        if (read === 0) break;
        filled += read;
      }
      yield* batch.add(chunk);
      sent += chunk.length;
    }
    yield* batch.add(tarPadding(sizeBytes));
  } finally {
    closeSync(descriptor);
  }
}

function entryOf({ path, stats, target }: ContextFile): NewTarEntry {
  const seconds = Math.floor(stats.mtimeMs / 1000);
  const common = { name: path, mode: stats.mode & 0o7777, mtime: { seconds, nanoseconds: 0 } };
  if (stats.isDirectory()) return { ...common, type: 'directory' };
  if (stats.isSymbolicLink()) return { ...common, type: 'symlink', linkName: target ?? '' };
  if (stats.isFIFO()) return { ...common, type: 'fifo' };
  if (stats.isCharacterDevice() || stats.isBlockDevice()) {
    const device = { devMajor: major(stats.rdev), devMinor: minor(stats.rdev) };
    return { ...common, type: stats.isCharacterDevice() ? 'char' : 'block', ...device };
  }
  return { ...common, type: 'file', sizeBytes: stats.size };
}

/** How Linux puts the two numbers of a device into one. */
const major = (device: number): number => (device >> 8) & 0xfff;
const minor = (device: number): number => (device & 0xff) | ((device >> 12) & 0xfff00);

/** A stream that makes the next chunk when the one before has gone. `onBytes` hears of each. */
export function streamOf(chunks: Iterator<Uint8Array>, onBytes: (count: number) => void): ReadableStream<Uint8Array> {
  return new ReadableStream(
    {
      pull(controller) {
        const { done, value } = chunks.next();
        if (done === true) {
          controller.close();
          return;
        }
        onBytes(value.length);
        controller.enqueue(value);
      },
      cancel() {
        chunks.return?.();
      },
    },
    { highWaterMark: 1 },
  );
}
