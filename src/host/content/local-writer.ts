import { constants } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { mkdir, open, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { dataLoss, internal } from '#base/errors.ts';
import { failpoint } from '#base/failpoint.ts';
import { Latest } from '#base/latest.ts';
import type { Logger } from '#base/log.ts';
import { letOthersGoFirst } from '#base/turns.ts';
import type { ContentInfo, ContentWriter, GrowingFile } from '#core/content.ts';
import { algorithmOf, type Digest } from '#oci/digest.ts';
import { explain, statOrUndefined, syncAndClose } from './files.ts';

export interface WriterPlace {
  readonly path: string;
  readonly pathOf: (digest: Digest) => string;
  readonly log: Logger;
  /** For an ingest that somebody may go on with later, and that stays for that: called when it is closed. */
  readonly onClosed?: () => void;
}

export class LocalWriter implements ContentWriter {
  readonly #path: string;
  readonly #file: FileHandle;
  readonly #pathOf: (digest: Digest) => string;
  readonly #log: Logger;
  readonly #onClosed: (() => void) | undefined;
  readonly #hasher = new Bun.CryptoHasher('sha256');
  readonly #grown = new Latest<number>();
  #sizeBytes = 0;
  #writtenBytes = 0;
  #queue: Uint8Array[] = [];
  #queuedBytes = 0;
  #writing: Promise<void> | undefined;
  #failure: Error | undefined;
  #isClosed = false;
  #isUseless = false;

  constructor(file: FileHandle, place: WriterPlace) {
    this.#path = place.path;
    this.#file = file;
    this.#pathOf = place.pathOf;
    this.#log = place.log;
    this.#onClosed = place.onClosed;
  }

  /** Goes on with a file that an earlier writer left: reads it once, for the digest. */
  static async resume(place: WriterPlace): Promise<LocalWriter> {
    const writer = new LocalWriter(await open(place.path, constants.O_RDWR | constants.O_CREAT, 0o600), place);
    try {
      for await (const chunk of Bun.file(place.path).stream()) {
        writer.#hasher.update(chunk);
        writer.#sizeBytes += chunk.length;
        await letOthersGoFirst();
      }
    } catch (err) {
      await writer[Symbol.asyncDispose]();
      throw err;
    }
    writer.#writtenBytes = writer.#sizeBytes;
    if (writer.#sizeBytes > 0) writer.#grown.set(writer.#sizeBytes);
    return writer;
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
      this.#isUseless = true;
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
    this.#onClosed?.();
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
    const isKept = this.#onClosed !== undefined && !this.#isUseless && this.#failure === undefined && this.#sizeBytes > 0;
    if (!isKept) await rm(this.#path, { force: true });
    this.#onClosed?.();
  }

  async discard(): Promise<void> {
    this.#isUseless = true;
    await this[Symbol.asyncDispose]();
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

async function hashFile(path: string, algorithm: 'sha256' | 'sha384' | 'sha512'): Promise<Digest> {
  const hasher = new Bun.CryptoHasher(algorithm);
  for await (const chunk of Bun.file(path).stream()) hasher.update(chunk);
  return `${algorithm}:${hasher.digest('hex')}` as Digest;
}
