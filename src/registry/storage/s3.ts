import { mkdirSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { setTimeout as pause } from 'node:timers/promises';
import { S3Client } from 'bun';
import { EngineError, unavailable } from '#base/errors.ts';
import { failpoint } from '#base/failpoint.ts';
import type { ByteRange, Content, Entry, Storage } from './storage.ts';

export interface S3Options {
  readonly bucket: string;
  readonly region: string | undefined;
  /** `https://s3.example.com`; undefined: Amazon's for the region. */
  readonly endpoint: string | undefined;
  readonly accessKey: string | undefined;
  readonly secretKey: string | undefined;
  readonly sessionToken: string | undefined;
  /** The bucket in the host name instead of the path. */
  readonly virtualHostedStyle: boolean;
  /** Everything is kept below this prefix. */
  readonly prefix: string;
  /** Parts of large uploads. */
  readonly partBytes: number;
  /** Send clients to the bucket for blobs, instead of passing the bytes on. */
  readonly redirect: boolean;
  readonly stagingFolder: string;
  /** Requests of one operation that run at once. */
  readonly parallel: number;
}

const redirectSeconds = 20 * 60;
const pageKeys = 1000;
/** Below this one request carries a whole object. */
const wholeBytes = 5 * 1024 * 1024;
/** A body is fetched in pieces of this size, so that a slow client holds no connection to the bucket and little memory. */
const pieceBytes = 4 * 1024 * 1024;

/**
 * Objects of an S3 bucket, spoken to through Bun's client. What is being uploaded gathers on this machine's disk, is verified there, and goes to the
 * bucket in one multipart upload, which becomes visible as a whole or not at all.
 */
export function openS3Storage(options: S3Options): Storage {
  mkdirSync(options.stagingFolder, { recursive: true, mode: 0o700 });
  const client = new S3Client({
    bucket: options.bucket,
    ...(options.region !== undefined && { region: options.region }),
    ...(options.endpoint !== undefined && { endpoint: options.endpoint }),
    ...(options.accessKey !== undefined && { accessKeyId: options.accessKey }),
    ...(options.secretKey !== undefined && { secretAccessKey: options.secretKey }),
    ...(options.sessionToken !== undefined && { sessionToken: options.sessionToken }),
    virtualHostedStyle: options.virtualHostedStyle,
  });
  const prefix = options.prefix === '' ? '' : `${options.prefix.replace(/^\/+|\/+$/g, '')}/`;
  const keyOf = (path: string): string => prefix + path;
  const write = { partSize: options.partBytes, queueSize: options.parallel, retry: 3 };

  async function* keysBelow(folder: string): AsyncGenerator<string> {
    for (let startAfter: string | undefined; ; ) {
      const page = await explained(() =>
        client.list({ prefix: `${keyOf(folder)}/`, maxKeys: pageKeys, ...(startAfter !== undefined && { startAfter }) }),
      );
      for (const { key } of page.contents ?? []) yield key;
      startAfter = page.contents?.at(-1)?.key;
      if (page.isTruncated !== true || startAfter === undefined) return;
    }
  }

  const storage: Storage = {
    stagingFolder: options.stagingFolder,
    isExclusive: false,
    get: path => orUndefined(async () => await client.file(keyOf(path)).bytes()),
    put: async (path, data) => {
      await explained(() => client.write(keyOf(path), data, { retry: 3 }));
    },
    async adopt(path, file) {
      failpoint('registry.store.written');
      const local = Bun.file(file);
      await explained(async () =>
        local.size <= wholeBytes
          ? await client.write(keyOf(path), await local.bytes(), { retry: 3 })
          : await client.write(keyOf(path), local, write),
      );
      failpoint('registry.store.placed');
      await rm(file, { force: true });
    },
    stat: path =>
      orUndefined(async () => {
        const { size, lastModified } = await client.file(keyOf(path)).stat();
        return { sizeBytes: size, modifiedAt: lastModified.getTime() };
      }),
    async touch(path) {
      const data = await storage.get(path);
      if (data !== undefined) await storage.put(path, data);
    },
    content(path, size, range): Content {
      const key = keyOf(path);
      if (options.redirect && range === undefined) return { redirect: client.presign(key, { method: 'GET', expiresIn: redirectSeconds }) };
      return { body: pieces((start, end) => client.file(key).slice(start, end).bytes(), range ?? { start: 0, end: size - 1 }) };
    },
    async list(folder) {
      const own = `${keyOf(folder)}/`;
      const entries: Entry[] = [];
      for (let continuationToken: string | undefined; ; ) {
        const page = await explained(() =>
          client.list({ prefix: own, delimiter: '/', maxKeys: pageKeys, ...(continuationToken !== undefined && { continuationToken }) }),
        );
        for (const { prefix: name } of page.commonPrefixes ?? []) entries.push({ name: name.slice(own.length, -1), isFolder: true });
        for (const { key } of page.contents ?? []) if (key !== own) entries.push({ name: key.slice(own.length), isFolder: false });
        continuationToken = page.nextContinuationToken;
        if (page.isTruncated !== true || continuationToken === undefined) return entries;
      }
    },
    async remove(folder) {
      let batch: Promise<unknown>[] = [];
      for await (const key of keysBelow(folder)) {
        batch.push(explained(() => client.delete(key)));
        if (batch.length < options.parallel) continue;
        await Promise.all(batch);
        batch = [];
      }
      await Promise.all(batch);
    },
    check: async () => {
      await explained(() => client.list({ prefix, maxKeys: 1 }));
    },
  };
  return storage;
}

/** A body that asks for its next piece when the last has been taken. */
function pieces(read: (start: number, end: number) => Promise<Uint8Array>, range: ByteRange): ReadableStream<Uint8Array> {
  let at = range.start;
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        if (at > range.end) return controller.close();
        const end = Math.min(at + pieceBytes, range.end + 1);
        const piece = await explained(() => read(at, end));
        if (piece.length !== end - at) throw unavailable('the bucket sent less than it was asked for');
        at = end;
        controller.enqueue(piece);
        if (at > range.end) controller.close();
      },
    },
    { highWaterMark: 0 },
  );
}

async function orUndefined<T>(action: () => Promise<T>): Promise<T | undefined> {
  try {
    return await explained(action);
  } catch (err) {
    if (err instanceof EngineError && isMissing(err.cause)) return undefined;
    throw err;
  }
}

const isMissing = (err: unknown): boolean =>
  err instanceof Error &&
  'code' in err &&
  (err.code === 'NoSuchKey' || err.code === 'NotFound' || (err.code === 'UnknownError' && /404/.test(err.message)));

const attempts = 4;
const firstPauseMs = 100;

/** What may be otherwise a moment later. */
const isPassing = (err: unknown): boolean =>
  err instanceof Error &&
  'code' in err &&
  ['InternalError', 'SlowDown', 'ServiceUnavailable', 'RequestTimeout', 'ConnectionClosed', 'ECONNRESET'].includes(String(err.code));

/** Tries again what may succeed then. What the bucket says may name keys and hosts: it goes to the log as the cause, not to clients. */
async function explained<T>(action: () => Promise<T>): Promise<T> {
  for (let failures = 1; ; failures += 1) {
    try {
      return await action();
    } catch (err) {
      if (err instanceof EngineError) throw err;
      if (failures >= attempts || !isPassing(err)) throw unavailable("the registry's storage does not work", { cause: err });
      await pause(firstPauseMs * 2 ** (failures - 1));
    }
  }
}
