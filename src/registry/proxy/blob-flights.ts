import { existsSync, statSync, writeFileSync } from 'node:fs';
import { open, readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { messageOf } from '#base/errors.ts';
import type { Logger } from '#base/log.ts';
import { letOthersGoFirst } from '#base/turns.ts';
import type { RegistryRepository } from '#core/registry.ts';
import { algorithmOf, type Digest, encodedOf } from '#oci/digest.ts';
import type { Blobs } from '../blobs.ts';
import type { Repository } from '../names.ts';
import { refusal } from '../refusal.ts';
import { byteRange } from '../routes/range.ts';
import type { ByteRange } from '../storage/storage.ts';
import { StagedFile } from '../storage/staged-file.ts';

export interface FetchedBlob {
  readonly sizeBytes: number;
  readonly response: Response;
}

/** A blob on its way here. */
interface Flight {
  readonly path: string;
  readonly sizeBytes: number;
  /** Bytes that can be read from the file. */
  available: number;
  /** Resolves when there is more, or the end. */
  change: PromiseWithResolvers<void>;
  failure: Error | undefined;
  isComplete: boolean;
  readonly done: Promise<void>;
  /** Repositories that get the blob when it is complete. */
  readonly names: Set<Repository>;
}

const filePrefix = 'fetch-';
const readBytes = 256 * 1024;

/**
 * Fetches blobs, each once, however many clients wait for it; they get the bytes as they arrive. A download goes on when its clients have gone, and is
 * taken up where it broke off when the registry is started again.
 */
export class BlobFlights {
  readonly #blobs: Blobs;
  readonly #folder: string;
  readonly #log: Logger;
  readonly #flights = new Map<Digest, Promise<Flight>>();
  readonly #stopped = new AbortController();
  fetchedBytes = 0;

  constructor(options: { readonly blobs: Blobs; readonly stagingFolder: string; readonly log: Logger }) {
    this.#blobs = options.blobs;
    this.#folder = options.stagingFolder;
    this.#log = options.log;
  }

  async serve(name: Repository, digest: Digest, remote: RegistryRepository, request: Request): Promise<FetchedBlob> {
    const headers: Record<string, string> = {
      'Content-Type': 'application/octet-stream',
      'Docker-Content-Digest': digest,
      ETag: `"${digest}"`,
      'Accept-Ranges': 'bytes',
    };
    if (request.method === 'HEAD') {
      const sizeBytes = await remote.blobSize(digest, request.signal);
      return { sizeBytes, response: new Response(null, { headers: { ...headers, 'Content-Length': String(sizeBytes) } }) };
    }
    const flight = await this.#join(name, digest, remote);
    const { sizeBytes } = flight;
    const range = byteRange(request.headers.get('range'), sizeBytes);
    if (range === 'unsatisfiable')
      throw refusal('RANGE_INVALID', `the blob has ${String(sizeBytes)} bytes`, {
        headers: { 'Content-Range': `bytes */${String(sizeBytes)}` },
      });
    const part = range ?? { start: 0, end: sizeBytes - 1 };
    const body = await this.#read(flight, part);
    const length = String(part.end - part.start + 1);
    if (range === undefined) return { sizeBytes, response: new Response(body, { headers: { ...headers, 'Content-Length': length } }) };
    const contentRange = `bytes ${String(part.start)}-${String(part.end)}/${String(sizeBytes)}`;
    return {
      sizeBytes,
      response: new Response(body, { status: 206, headers: { ...headers, 'Content-Range': contentRange, 'Content-Length': length } }),
    };
  }

  async #join(name: Repository, digest: Digest, remote: RegistryRepository): Promise<Flight> {
    let flight = this.#flights.get(digest);
    if (flight === undefined) {
      flight = this.#start(digest, remote);
      this.#flights.set(digest, flight);
      flight.catch(() => this.#flights.delete(digest));
    }
    const joined = await flight;
    joined.names.add(name);
    return joined;
  }

  async #start(digest: Digest, remote: RegistryRepository): Promise<Flight> {
    const path = join(this.#folder, `${filePrefix}${algorithmOf(digest)}-${encodedOf(digest)}`);
    const sizeBytes = await remote.blobSize(digest, this.#stopped.signal);
    if (!existsSync(path) || statSync(path).size > sizeBytes) writeFileSync(path, '', { mode: 0o600 });
    const { promise: done, resolve } = Promise.withResolvers<void>();
    const flight: Flight = {
      path,
      sizeBytes,
      available: 0,
      change: Promise.withResolvers<void>(),
      failure: undefined,
      isComplete: false,
      done,
      names: new Set(),
    };
    void this.#download(flight, digest, remote).finally(resolve);
    return flight;
  }

  async #download(flight: Flight, digest: Digest, remote: RegistryRepository): Promise<void> {
    const hasher = new Bun.CryptoHasher(algorithmOf(digest));
    try {
      const start = statSync(flight.path).size;
      await this.#hashExisting(flight, start, hasher);
      {
        await using file = await StagedFile.open(flight.path, start);
        let at = start;
        for await (const chunk of start === flight.sizeBytes
          ? []
          : remote.blob({ digest, size: flight.sizeBytes }, this.#stopped.signal, start)) {
          hasher.update(chunk);
          await file.write(chunk);
          at += chunk.length;
          this.fetchedBytes += chunk.length;
          // What readers may have is what is in the file.
          advance(flight, at - file.queuedBytes);
          await letOthersGoFirst();
        }
        await file.flush();
      }
      if (hasher.digest('hex') !== encodedOf(digest)) {
        await rm(flight.path, { force: true });
        throw refusal('DIGEST_INVALID', `the upstream registry sent other bytes than ${digest}`, { status: 502 });
      }
      const names = [...flight.names];
      // Readers have the file open; its name goes away.
      for (const [index, name] of names.entries()) {
        if (index === 0) await this.#blobs.adopt(name, digest, flight.sizeBytes, flight.path);
        else await this.#blobs.mount(name, digest, names[0] ?? name);
      }
      flight.isComplete = true;
      advance(flight, flight.sizeBytes);
    } catch (err) {
      flight.failure = asError(err);
      this.#log.warn('a blob could not be fetched', { digest, error: messageOf(err) });
      advance(flight, flight.available);
    } finally {
      this.#flights.delete(digest);
    }
  }

  /** What an earlier attempt has left. */
  async #hashExisting(flight: Flight, size: number, hasher: Bun.CryptoHasher): Promise<void> {
    if (size === 0) return;
    await using file = await open(flight.path, 'r');
    for (let at = 0; at < size; ) {
      const { bytesRead, buffer } = await file.read(Buffer.allocUnsafe(readBytes), 0, Math.min(readBytes, size - at), at);
      hasher.update(buffer.subarray(0, bytesRead));
      at += bytesRead;
      advance(flight, at);
      await letOthersGoFirst();
    }
  }

  /**
   * The bytes of a part, each as soon as it is there. The last ones come only when all have been verified: a client never has a whole blob
   * that is not what it should be.
   */
  async #read(flight: Flight, part: ByteRange): Promise<ReadableStream<Uint8Array>> {
    const file = await open(flight.path, 'r').catch(() => undefined);
    if (file === undefined) throw flight.failure ?? refusal('UNAVAILABLE', 'the blob is being stored: ask again', { status: 503 });
    let at = part.start;
    const close = async (): Promise<void> => await file.close().catch(() => undefined);
    return new ReadableStream<Uint8Array>(
      {
        async pull(controller) {
          const limit = (): number => (flight.isComplete ? flight.sizeBytes : Math.min(flight.available, flight.sizeBytes - 1));
          while (at >= limit() && at <= part.end && flight.failure === undefined) await flight.change.promise;
          if (at > part.end) {
            await close();
            controller.close();
            return;
          }
          if (at >= limit()) {
            await close();
            throw flight.failure ?? refusal('UNAVAILABLE');
          }
          const length = Math.min(readBytes, limit() - at, part.end + 1 - at);
          const { bytesRead, buffer } = await file.read(Buffer.allocUnsafe(length), 0, length, at);
          at += bytesRead;
          controller.enqueue(buffer.subarray(0, bytesRead));
          if (at <= part.end) return;
          await close();
          controller.close();
        },
        cancel: close,
      },
      { highWaterMark: 0 },
    );
  }

  async close(): Promise<void> {
    this.#stopped.abort(new Error('the registry is shutting down'));
    const flights = await Promise.allSettled(this.#flights.values());
    await Promise.all(flights.flatMap(result => (result.status === 'fulfilled' ? [result.value.done] : [])));
  }
}

/** Removes beginnings of blobs that nobody has gone on with. */
export async function expireFetches(folder: string, olderThanMs: number): Promise<void> {
  for (const entry of (await readdir(folder)).filter(name => name.startsWith(filePrefix))) {
    const found = await stat(join(folder, entry)).catch(() => undefined);
    if (found !== undefined && Date.now() - found.mtimeMs > olderThanMs) await rm(join(folder, entry), { force: true });
  }
}

const asError = (err: unknown): Error => (err instanceof Error ? err : new Error(String(err)));

function advance(flight: Flight, available: number): void {
  flight.available = available;
  const { resolve } = flight.change;
  flight.change = Promise.withResolvers<void>();
  resolve();
}
