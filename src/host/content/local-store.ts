import type { FileHandle } from 'node:fs/promises';
import { mkdir, open, opendir, readdir, readFile, rename, rm, stat, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { dataLoss, internal, isErrno, notFound, resourceExhausted } from '#base/errors.ts';
import { failpoint } from '#base/failpoint.ts';
import { newId } from '#base/id.ts';
import { Latest } from '#base/latest.ts';
import type { Logger } from '#base/log.ts';
import { letOthersGoFirst } from '#base/turns.ts';
import type { ContentFile, ContentInfo, ContentStore, ContentWriter, GrowingFile } from '#core/content.ts';
import { algorithmOf, type Digest, encodedOf, sha256, tryParseDigest } from '#oci/digest.ts';

const algorithms = ['sha256', 'sha384', 'sha512'] as const;

/**
 * Blobs as files `blobs/<algorithm>/<hex>`, written under `ingest/` and renamed when complete. What an earlier process left in `ingest/` is
 * removed here. A commit does not wait for the disk: the sync follows in the background, so that only a power cut in the same moment can tear a
 * blob, which `read` and every unpacking notice by the digest.
 */
export async function openContentStore(options: { readonly dir: string; readonly log: Logger }): Promise<ContentStore> {
  const { dir, log } = options;
  const blobs = join(dir, 'blobs');
  const ingest = join(dir, 'ingest');
  await mkdir(join(blobs, 'sha256'), { recursive: true, mode: 0o700 });
  await mkdir(ingest, { recursive: true, mode: 0o700 });
  const leftOver = await readdir(ingest);
  for (const name of leftOver) await rm(join(ingest, name), { recursive: true, force: true });
  if (leftOver.length > 0) log.info('removed unfinished blobs', { count: leftOver.length });

  const pathOf = (digest: Digest): string => join(blobs, algorithmOf(digest), encodedOf(digest));
  const info = async (digest: Digest): Promise<ContentInfo | undefined> => {
    const found = await statOrUndefined(pathOf(digest));
    return found === undefined ? undefined : { digest, sizeBytes: found.size };
  };
  const writer = async (): Promise<ContentWriter> => {
    const path = join(ingest, newId().slice(0, 32));
    try {
      return new LocalWriter(path, await open(path, 'wx', 0o600), pathOf, log);
    } catch (err) {
      throw explain(err, ingest);
    }
  };

  return {
    info,
    writer,
    file: async () => new LocalFile(join(ingest, newId().slice(0, 32)), pathOf, log),
    async read(digest) {
      const data = await readFile(pathOf(digest)).catch((err: unknown) => {
        throw isErrno(err, 'ENOENT') ? notFound(`content ${digest} is not in the store`, { cause: err }) : err;
      });
      const actual = new Bun.CryptoHasher(algorithmOf(digest)).update(data).digest('hex');
      if (actual !== encodedOf(digest)) {
        throw dataLoss(
          `content ${digest} is damaged on disk: its bytes have the digest ${algorithmOf(digest)}:${actual}; remove and pull it again`,
        );
      }
      return data;
    },
    async path(digest) {
      if ((await info(digest)) === undefined) throw notFound(`content ${digest} is not in the store`);
      return pathOf(digest);
    },
    async put(data) {
      const existing = await info(sha256(data));
      if (existing !== undefined) return existing;
      await using created = await writer();
      await created.write(data);
      return await created.commit();
    },
    async remove(digest) {
      try {
        await unlink(pathOf(digest));
        return true;
      } catch (err) {
        if (isErrno(err, 'ENOENT')) return false;
        throw err;
      }
    },
    async *list() {
      for (const algorithm of algorithms) {
        for await (const name of namesIn(join(blobs, algorithm))) {
          const digest = tryParseDigest(`${algorithm}:${name}`);
          const found = digest === undefined ? undefined : await info(digest);
          if (found !== undefined) yield found;
        }
      }
    },
  };
}

class LocalWriter implements ContentWriter {
  readonly #path: string;
  readonly #file: FileHandle;
  readonly #pathOf: (digest: Digest) => string;
  readonly #log: Logger;
  readonly #hasher = new Bun.CryptoHasher('sha256');
  readonly #grown = new Latest<number>();
  #sizeBytes = 0;
  #writtenBytes = 0;
  #queue: Uint8Array[] = [];
  #queuedBytes = 0;
  #writing: Promise<void> | undefined;
  #failure: Error | undefined;
  #isClosed = false;

  constructor(path: string, file: FileHandle, pathOf: (digest: Digest) => string, log: Logger) {
    this.#path = path;
    this.#file = file;
    this.#pathOf = pathOf;
    this.#log = log;
  }

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  get growing(): GrowingFile {
    return { path: this.#path, grown: this.#grown };
  }

  async write(chunk: Uint8Array): Promise<void> {
    if (this.#isClosed) throw internal('write to a content writer that is closed');
    this.#queue.push(chunk);
    this.#queuedBytes += chunk.length;
    this.#sizeBytes += chunk.length;
    this.#hasher.update(chunk);
    // What gathers while a write is under way goes with the next one.
    while (this.#writing !== undefined && this.#queuedBytes >= maxQueuedBytes) await this.#writing;
    this.#writing ??= this.#writeQueue();
    // Hashing is work of this thread.
    await letOthersGoFirst();
    if (this.#failure !== undefined) throw this.#failure;
  }

  async #writeQueue(): Promise<void> {
    const batch = this.#queue.splice(0, maxBatchChunks);
    for (const chunk of batch) this.#queuedBytes -= chunk.length;
    try {
      this.#writtenBytes += await writeAll(this.#file, batch, this.#writtenBytes);
      this.#grown.set(this.#writtenBytes);
    } catch (err) {
      this.#failure ??= explain(err, this.#path);
      this.#queue = [];
    }
    this.#writing = this.#queue.length === 0 ? undefined : this.#writeQueue();
  }

  async commit(expected: { readonly digest?: Digest; readonly sizeBytes?: number } = {}): Promise<ContentInfo> {
    if (this.#isClosed) throw internal('commit of a content writer that is closed');
    try {
      await this.#settle();
      const { digest } = expected;
      const actual =
        digest === undefined || algorithmOf(digest) === 'sha256'
          ? (`sha256:${this.#hasher.digest('hex')}` as Digest)
          : await hashFile(this.#path, algorithmOf(digest));
      if (expected.sizeBytes !== undefined && expected.sizeBytes !== this.#sizeBytes) {
        throw dataLoss(
          `wrong size of ${digest ?? 'content'}: expected ${String(expected.sizeBytes)} bytes, received ${String(this.#sizeBytes)}`,
        );
      }
      if (digest !== undefined && digest !== actual) throw dataLoss(`wrong content: expected the digest ${digest}, received ${actual}`);
      await this.#publish(this.#pathOf(actual));
      this.#grown.end();
      return { digest: actual, sizeBytes: this.#sizeBytes };
    } finally {
      await this[Symbol.asyncDispose]();
    }
  }

  async #publish(target: string): Promise<void> {
    if ((await statOrUndefined(target)) !== undefined) return;
    try {
      await mkdir(join(target, '..'), { recursive: true, mode: 0o700 });
      failpoint('content.commit.written');
      await rename(this.#path, target);
      failpoint('content.commit.stored');
    } catch (err) {
      throw explain(err, target);
    }
    this.#isClosed = true;
    void syncAndClose(this.#file, target, this.#log);
  }

  async #settle(): Promise<void> {
    while (this.#writing !== undefined) await this.#writing;
    if (this.#failure !== undefined) throw this.#failure;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#queue = [];
    while (this.#writing !== undefined) await this.#writing;
    this.#grown.fail(this.#failure ?? internal('a content writer was closed before it was complete'));
    await this.#file.close();
    await rm(this.#path, { force: true });
  }
}

class LocalFile implements ContentFile {
  readonly path: string;
  readonly #pathOf: (digest: Digest) => string;
  readonly #log: Logger;
  #isClosed = false;

  constructor(path: string, pathOf: (digest: Digest) => string, log: Logger) {
    this.path = path;
    this.#pathOf = pathOf;
    this.#log = log;
  }

  async commit(info: ContentInfo): Promise<ContentInfo> {
    if (this.#isClosed) throw internal('commit of a content file that is closed');
    const target = this.#pathOf(info.digest);
    try {
      const { size } = await stat(this.path);
      if (size !== info.sizeBytes) {
        throw dataLoss(`wrong size of ${info.digest}: expected ${String(info.sizeBytes)} bytes, ${String(size)} were written`);
      }
      if ((await statOrUndefined(target)) !== undefined) return info;
      const file = await open(this.path, 'r+');
      failpoint('content.commit.written');
      await rename(this.path, target);
      failpoint('content.commit.stored');
      void syncAndClose(file, target, this.#log);
      return info;
    } catch (err) {
      throw explain(err, target);
    } finally {
      await this[Symbol.asyncDispose]();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    await rm(this.path, { force: true });
  }
}

const maxQueuedBytes = 1024 * 1024;
/** The kernel takes 1024 pieces at once. */
const maxBatchChunks = 1024;

/** Returns how many bytes that were. */
async function writeAll(file: FileHandle, chunks: Uint8Array[], position: number): Promise<number> {
  const total = chunks.reduce((bytes, chunk) => bytes + chunk.length, 0);
  let { bytesWritten: done } = await file.writev(chunks, position);
  if (done === total) return total;
  // Rare: the disk took a part, and says at the next attempt why.
  const rest = Buffer.concat(chunks);
  while (done < total) done += (await file.write(rest, done, total - done, position + done)).bytesWritten;
  return total;
}

async function syncAndClose(file: FileHandle, path: string, log: Logger): Promise<void> {
  try {
    await file.datasync();
  } catch (err) {
    log.warn('could not sync a blob to disk', { path, error: err });
  } finally {
    await file.close().catch((err: unknown) => log.warn('could not close a blob', { path, error: err }));
  }
}

async function hashFile(path: string, algorithm: 'sha256' | 'sha384' | 'sha512'): Promise<Digest> {
  const hasher = new Bun.CryptoHasher(algorithm);
  for await (const chunk of Bun.file(path).stream()) hasher.update(chunk);
  return `${algorithm}:${hasher.digest('hex')}` as Digest;
}

async function statOrUndefined(path: string): Promise<{ size: number } | undefined> {
  try {
    return await stat(path);
  } catch (err) {
    if (isErrno(err, 'ENOENT')) return undefined;
    throw err;
  }
}

async function* namesIn(dir: string): AsyncGenerator<string> {
  try {
    for await (const entry of await opendir(dir)) yield entry.name;
  } catch (err) {
    if (!isErrno(err, 'ENOENT')) throw err;
  }
}

function explain(err: unknown, path: string): Error {
  if (isErrno(err, 'ENOSPC')) {
    return resourceExhausted(`no space left on device while writing ${path}: remove unused images or enlarge the disk`, { cause: err });
  }
  if (isErrno(err, 'EDQUOT')) return resourceExhausted(`disk quota exceeded while writing ${path}`, { cause: err });
  return err instanceof Error ? err : internal(`writing ${path} failed`, { cause: err });
}
