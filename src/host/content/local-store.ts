import { createReadStream, rmSync } from 'node:fs';
import { mkdir, open, opendir, readdir, readFile, rename, rm, stat, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { dataLoss, internal, isErrno, notFound } from '#base/errors.ts';
import { failpoint } from '#base/failpoint.ts';
import { newId } from '#base/id.ts';
import type { Logger } from '#base/log.ts';
import { letOthersGoFirst } from '#base/turns.ts';
import type { ContentFile, ContentInfo, ContentStore, ContentWriter } from '#core/content.ts';
import { LocalWriter } from './local-writer.ts';
import { explain, statOrUndefined, syncAndClose } from './files.ts';
import { algorithmOf, type Digest, encodedOf, sha256, tryParseDigest } from '#oci/digest.ts';

const algorithms = ['sha256', 'sha384', 'sha512'] as const;

/**
 * Blobs as files `blobs/<algorithm>/<hex>`, written under `ingest/` and renamed when complete. What an earlier process left in `ingest/` is
 * removed here; what can be gone on with is under `partial/`, named `<algorithm>-<hex>`, until `removeUnfinished`. A commit does not wait for the disk: the sync follows in the background, so that only a power cut in the same moment can tear a
 * blob, which `read` and every unpacking notice by the digest.
 */
export async function openContentStore(options: { readonly dir: string; readonly log: Logger }): Promise<ContentStore> {
  const { dir, log } = options;
  const blobs = join(dir, 'blobs');
  const ingest = join(dir, 'ingest');
  const partial = join(dir, 'partial');
  await mkdir(join(blobs, 'sha256'), { recursive: true, mode: 0o700 });
  await mkdir(ingest, { recursive: true, mode: 0o700 });
  await mkdir(partial, { recursive: true, mode: 0o700 });
  const leftOver = await readdir(ingest);
  for (const name of leftOver) await rm(join(ingest, name), { recursive: true, force: true });
  if (leftOver.length > 0) log.info('removed unfinished blobs', { count: leftOver.length });

  const pathOf = (digest: Digest): string => join(blobs, algorithmOf(digest), encodedOf(digest));
  const info = async (digest: Digest): Promise<ContentInfo | undefined> => {
    const found = await statOrUndefined(pathOf(digest));
    return found === undefined ? undefined : { digest, sizeBytes: found.size };
  };
  /** Unfinished blobs that somebody writes now. */
  const busy = new Set<Digest>();
  const partialOf = (digest: Digest): string => join(partial, `${algorithmOf(digest)}-${encodedOf(digest)}`);
  const resumed = async (digest: Digest): Promise<ContentWriter> => {
    busy.add(digest);
    const release = (): boolean => busy.delete(digest);
    try {
      return await LocalWriter.resume({ path: partialOf(digest), pathOf, log, onClosed: release });
    } catch (err) {
      release();
      throw explain(err, partial);
    }
  };
  const writer = async (options: { readonly resume?: Digest } = {}): Promise<ContentWriter> => {
    if (options.resume !== undefined && !busy.has(options.resume)) return await resumed(options.resume);
    const path = join(ingest, newId().slice(0, 32));
    try {
      return new LocalWriter(await open(path, 'wx', 0o600), { path, pathOf, log });
    } catch (err) {
      throw explain(err, ingest);
    }
  };

  return {
    info,
    writer,
    file: async () => new LocalFile(join(ingest, newId().slice(0, 32)), pathOf, log),
    async diskUsage(digest) {
      const found = await statOrUndefined(pathOf(digest));
      return found === undefined ? undefined : found.blocks * 512;
    },
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
    async verify(digest, { signal }) {
      const hasher = new Bun.CryptoHasher(algorithmOf(digest));
      try {
        for await (const chunk of createReadStream(pathOf(digest), { highWaterMark: hashedAtOnceBytes, signal })) {
          hasher.update(chunk as Buffer);
          await letOthersGoFirst();
        }
      } catch (err) {
        signal.throwIfAborted();
        if (isErrno(err, 'ENOENT')) return undefined;
        // What the disk cannot read is not what was written.
        if (isErrno(err, 'EIO')) return false;
        throw err;
      }
      return hasher.digest('hex') === encodedOf(digest);
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
    async unfinishedUsage(isMeant) {
      let bytes = 0;
      for (const name of await readdir(partial)) {
        const digest = tryParseDigest(name.replace('-', ':'));
        if (isMeant !== undefined && (digest === undefined || !isMeant(digest))) continue;
        bytes += ((await statOrUndefined(join(partial, name)))?.blocks ?? 0) * 512;
      }
      return bytes;
    },
    async removeUnfinished(olderThanMs, isMeant) {
      let freed = 0;
      for (const name of await readdir(partial)) {
        const digest = tryParseDigest(name.replace('-', ':'));
        if (isMeant !== undefined && (digest === undefined || !isMeant(digest))) continue;
        const path = join(partial, name);
        const found = await statOrUndefined(path);
        // Nothing waits between the look and the deed: nobody goes on with it meanwhile.
        if (found === undefined || (digest !== undefined && busy.has(digest)) || Date.now() - found.mtimeMs < olderThanMs) continue;
        rmSync(path, { recursive: true, force: true });
        freed += found.size;
      }
      return freed;
    },
  };
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

async function* namesIn(dir: string): AsyncGenerator<string> {
  try {
    for await (const entry of await opendir(dir)) yield entry.name;
  } catch (err) {
    if (!isErrno(err, 'ENOENT')) throw err;
  }
}

/** A sixth of a millisecond. */
const hashedAtOnceBytes = 256 * 1024;
