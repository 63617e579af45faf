import { createReadStream, existsSync, statSync } from 'node:fs';
import { readdir, rm, stat, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { isErrno } from '#base/errors.ts';
import { failpoint } from '#base/failpoint.ts';
import { KeyedLock } from '#base/keyed-lock.ts';
import type { Logger } from '#base/log.ts';
import { letOthersGoFirst } from '#base/turns.ts';
import { algorithmOf, type Digest, encodedOf } from '#oci/digest.ts';
import type { Blobs } from './blobs.ts';
import { Lru } from './lru.ts';
import type { Repository } from './names.ts';
import { refusal } from './refusal.ts';
import type { Quotas } from './quotas.ts';
import { isLeftOver } from './storage/filesystem.ts';
import { StagedFile } from './storage/staged-file.ts';
import { explained } from './storage/filesystem.ts';

export type Algorithm = 'sha256' | 'sha384' | 'sha512';

export interface UploadsOptions {
  readonly stagingFolder: string;
  readonly blobs: Blobs;
  readonly quotas: Quotas;
  readonly log: Logger;
}

/** The bytes of a request. */
export type Body = Uint8Array | AsyncIterable<Uint8Array>;

/** Where the bytes of a request belong, when the client says so: both ends count. */
export interface ChunkRange {
  readonly start: number;
  readonly end: number;
}

export interface FinishOptions {
  readonly range?: ChunkRange | undefined;
  /** Called when all bytes have arrived: storing them may take a while in which the client hears nothing. */
  readonly onReceived?: () => void;
}

interface Session {
  offset: number;
  /** Undefined when what is there has not been hashed by this process: then it is hashed at the end. */
  hasher: Bun.CryptoHasher | undefined;
  readonly algorithm: Algorithm;
}

const maxSessions = 10_000;

/**
 * Blobs that are being sent. A session is a file of the staging folder, named by the repository and a random id; its size is how far the client has come.
 * So a session outlives the registry: what is in memory besides (the hash so far) is made again from the file.
 */
export class Uploads {
  readonly #folder: string;
  readonly #blobs: Blobs;
  readonly #quotas: Quotas;
  readonly #log: Logger;
  readonly #sessions = new Lru<Session>(maxSessions);
  readonly #locks = new KeyedLock();

  constructor({ stagingFolder, blobs, quotas, log }: UploadsOptions) {
    this.#folder = stagingFolder;
    this.#blobs = blobs;
    this.#quotas = quotas;
    this.#log = log;
  }

  /** Begins a session; its id. */
  async start(name: Repository, algorithm: Algorithm = 'sha256'): Promise<string> {
    const id = crypto.randomUUID();
    const path = this.#pathOf(name, id);
    await explained(async () => {
      using _file = StagedFile.create(path);
      return Promise.resolve();
    });
    this.#sessions.set(path, { offset: 0, hasher: new Bun.CryptoHasher(algorithm), algorithm });
    return id;
  }

  /** How many bytes have arrived. Refuses with BLOB_UPLOAD_UNKNOWN. */
  offset(name: Repository, id: string): number {
    const path = this.#pathOf(name, id);
    return this.#sessionOf(path, id).offset;
  }

  /** Takes more bytes; how many there are then. What arrived of a body that breaks off stays. Refuses with RANGE_INVALID what does not go on where the last ended. */
  async append(name: Repository, id: string, body: Body, range?: ChunkRange): Promise<number> {
    const path = this.#pathOf(name, id);
    return await this.#locks.run(path, async () => {
      const session = this.#sessionOf(path, id);
      await this.#receive(name, id, path, session, body, range);
      return session.offset;
    });
  }

  /** Takes the last bytes, if any, and makes the blob; its size. Refuses with DIGEST_INVALID, and the session is over then as well. */
  async finish(name: Repository, id: string, digest: Digest, body: Body, options: FinishOptions = {}): Promise<number> {
    const path = this.#pathOf(name, id);
    return await this.#locks.run(path, async () => {
      const session = this.#sessionOf(path, id);
      await this.#receive(name, id, path, session, body, options.range);
      failpoint('registry.upload.received');
      options.onReceived?.();
      try {
        await this.#verify(path, session, digest);
        await this.#blobs.adopt(name, digest, session.offset, path);
      } finally {
        this.#sessions.delete(path);
        await rm(path, { force: true });
      }
      return session.offset;
    });
  }

  /** Ends a session without a blob. Refuses with BLOB_UPLOAD_UNKNOWN. */
  async cancel(name: Repository, id: string): Promise<void> {
    const path = this.#pathOf(name, id);
    this.#sessionOf(path, id);
    this.#sessions.delete(path);
    await rm(path, { force: true });
  }

  /** A whole blob in one request; its size. */
  async store(name: Repository, digest: Digest, body: Body, options: FinishOptions = {}): Promise<number> {
    const id = await this.start(name, algorithmOf(digest));
    try {
      return await this.finish(name, id, digest, body, options);
    } catch (err) {
      // Nobody knows the session: it cannot be gone on with.
      const path = this.#pathOf(name, id);
      this.#sessions.delete(path);
      await rm(path, { force: true });
      throw err;
    }
  }

  /** Removes sessions that nobody has added to for a while; how many. */
  async expire(olderThanMs: number): Promise<number> {
    let count = 0;
    for (const entry of await readdir(this.#folder)) {
      const path = join(this.#folder, entry);
      if (!entry.startsWith(sessionPrefix)) continue;
      const found = await stat(path).catch(() => undefined);
      if (found === undefined || Date.now() - found.mtimeMs < olderThanMs) continue;
      using _held = await this.#locks.acquire(path);
      this.#sessions.delete(path);
      await rm(path, { force: true });
      count += 1;
    }
    if (count > 0) this.#log.info('removed uploads that nobody went on with', { count });
    return count;
  }

  /** Removes what an earlier process was in the middle of. Call it before anything is stored. */
  async tidy(): Promise<void> {
    for (const entry of (await readdir(this.#folder)).filter(isLeftOver))
      await rm(join(this.#folder, entry), { recursive: true, force: true });
  }

  /** The sessions that are open, for the metrics. */
  async count(): Promise<number> {
    return (await readdir(this.#folder)).filter(entry => entry.startsWith(sessionPrefix)).length;
  }

  #pathOf(name: Repository, id: string): string {
    if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(id)) throw unknownUpload(id);
    const owner = new Bun.CryptoHasher('sha256').update(name).digest('hex').slice(0, 16);
    return join(this.#folder, `${sessionPrefix}${owner}-${id}`);
  }

  #sessionOf(path: string, id: string): Session {
    const known = this.#sessions.get(path);
    if (known !== undefined && existsSync(path)) return known;
    try {
      const session: Session = { offset: statSync(path).size, hasher: undefined, algorithm: 'sha256' };
      this.#sessions.set(path, session);
      return session;
    } catch (err) {
      throw isErrno(err, 'ENOENT') ? unknownUpload(id, err) : err;
    }
  }

  async #receive(name: Repository, id: string, path: string, session: Session, body: Body, range: ChunkRange | undefined): Promise<void> {
    if (range !== undefined && range.start !== session.offset)
      throw rangeInvalid(
        name,
        id,
        session.offset,
        `the next byte is ${String(session.offset)}, the range begins at ${String(range.start)}`,
      );
    if (body instanceof Uint8Array && body.length === 0) return;
    const limit = range === undefined ? Number.POSITIVE_INFINITY : range.end - range.start + 1;
    const before = session.offset;
    await explained(async () => {
      await using file = await StagedFile.open(path, session.offset);
      try {
        for await (const chunk of body instanceof Uint8Array ? [body] : body) {
          if (session.offset - before + chunk.length > limit) throw sizeInvalid('the body is longer than its Content-Range');
          this.#quotas.expect(name, session.offset + chunk.length);
          await file.write(chunk);
          session.hasher?.update(chunk);
          session.offset += chunk.length;
          // Hashing is work of this thread.
          await letOthersGoFirst();
        }
      } finally {
        await file.flush().catch((err: unknown) => {
          // What is on disk is less than what was hashed.
          session.offset = before;
          session.hasher = undefined;
          throw err;
        });
      }
      failpoint('registry.upload.appended');
    }).catch(async (err: unknown) => {
      if (session.offset === before) await truncate(path, before).catch(() => undefined);
      throw err;
    });
    if (range !== undefined && session.offset - before !== limit) throw sizeInvalid('the body is shorter than its Content-Range');
  }

  async #verify(path: string, session: Session, digest: Digest): Promise<void> {
    const algorithm = algorithmOf(digest);
    const hasher = session.hasher !== undefined && session.algorithm === algorithm ? session.hasher : await hashFile(path, algorithm);
    const actual = hasher.digest('hex');
    if (actual === encodedOf(digest)) return;
    throw refusal('DIGEST_INVALID', `provided digest did not match uploaded content: the content is ${algorithm}:${actual}`, {
      detail: { digest, size: session.offset },
    });
  }
}

const sessionPrefix = 'upload-';

async function hashFile(path: string, algorithm: Algorithm): Promise<Bun.CryptoHasher> {
  const hasher = new Bun.CryptoHasher(algorithm);
  for await (const chunk of createReadStream(path, { highWaterMark: 256 * 1024 }) as AsyncIterable<Uint8Array>) {
    hasher.update(chunk);
    await letOthersGoFirst();
  }
  return hasher;
}

const unknownUpload = (id: string, cause?: unknown): Error =>
  refusal('BLOB_UPLOAD_UNKNOWN', undefined, { detail: { uuid: id.slice(0, 64) }, cause });

const sizeInvalid = (message: string): Error => refusal('SIZE_INVALID', message);

/** Tells the client where it is, so that it can go on. */
export const uploadRange = (offset: number): string => `0-${String(Math.max(offset - 1, 0))}`;

const rangeInvalid = (name: Repository, id: string, offset: number, message: string): Error =>
  refusal('RANGE_INVALID', message, {
    headers: { Location: `/v2/${name}/blobs/uploads/${id}`, Range: uploadRange(offset), 'Docker-Upload-UUID': id },
    detail: { offset },
  });
