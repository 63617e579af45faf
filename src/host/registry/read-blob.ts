import { dataLoss, EngineError, unavailable } from '#base/errors.ts';
import type { Descriptor } from '#oci/manifest.ts';
import { readAnswer } from './read-answer.ts';
import { backOff, isTransient, type RetryPolicy } from './retry.ts';

/** Asks for the blob from byte `offset` on, up to but without byte `end` (undefined: all of the rest); the answer has been checked for refusal. */
export type OpenBlob = (offset: number, end: number | undefined, signal: AbortSignal) => Promise<Response>;

type Blob = Pick<Descriptor, 'digest' | 'size'>;

export interface BlobReading {
  readonly retry: RetryPolicy;
  readonly stallTimeoutMs: number;
  readonly signal: AbortSignal;
  /** Byte to begin with; undefined: the first. */
  readonly from?: number;
  readonly ranges?: RangePolicy;
}

/**
 * When a blob is read over several connections: registries, and what stands before them, often limit each one. A single connection that is fast enough
 * is left alone. Memory: `connections` × `partBytes` for each blob.
 */
export interface RangePolicy {
  /** How long one connection is watched. */
  readonly sampleMs: number;
  /** More connections when one alone would take longer than this for the rest. */
  readonly patienceMs: number;
  readonly connections: number;
  readonly partBytes: number;
}

export const defaultRanges: RangePolicy = { sampleMs: 1_000, patienceMs: 5_000, connections: 4, partBytes: 4 * 1024 * 1024 };

/** See `RegistryRepository.blob`. Attempts are counted anew whenever bytes arrive. */
export async function* readBlob(blob: Blob, open: OpenBlob, options: BlobReading): AsyncGenerator<Uint8Array, void, undefined> {
  const { retry, signal } = options;
  let { ranges } = options;
  let offset = options.from ?? 0;
  if (offset === blob.size && offset > 0) return;
  for (let failures = 0; ; ) {
    try {
      let isSlow = false;
      for await (const { chunk, slow } of readFrom(blob, open, offset, options, ranges)) {
        offset += chunk.length;
        failures = 0;
        yield chunk;
        isSlow = slow;
        if (slow) break;
      }
      if (isSlow && ranges !== undefined) {
        for await (const chunk of readParts(blob, open, offset, options, ranges)) {
          offset += chunk.length;
          failures = 0;
          yield chunk;
        }
      }
      if (offset === blob.size) return;
      throw unavailable(`blob ${blob.digest} ended after ${offset} of ${blob.size} bytes: unexpected EOF`);
    } catch (err) {
      signal.throwIfAborted();
      if (err instanceof NoParts) ranges = undefined;
      failures += 1;
      if (failures >= retry.attempts || !isTransient(err)) throw err;
      await backOff(retry, failures, err, signal);
    }
  }
}

/** The rest over one connection. `slow` says that more connections are worth a try. */
async function* readFrom(
  blob: Blob,
  open: OpenBlob,
  offset: number,
  { stallTimeoutMs, signal }: BlobReading,
  ranges: RangePolicy | undefined,
): AsyncGenerator<{ readonly chunk: Uint8Array; readonly slow: boolean }, void, undefined> {
  const response = await open(offset, undefined, signal);
  let skip = startOf(response, offset, blob);
  const hasParts = response.status === 206 || response.headers.get('accept-ranges') === 'bytes';
  let received = 0;
  let waitedMs = 0;
  let askedAt = performance.now();
  for await (const chunk of readAnswer(response, stallTimeoutMs, signal)) {
    // Only the time that the registry took: who reads may be slow as well.
    waitedMs += performance.now() - askedAt;
    const fresh = chunk.subarray(Math.min(skip, chunk.length));
    skip -= chunk.length - fresh.length;
    received += fresh.length;
    const left = blob.size - offset - received;
    if (left < 0) throw dataLoss(`blob ${blob.digest} is longer than the ${blob.size} bytes its manifest says`);
    const slow =
      ranges !== undefined &&
      hasParts &&
      waitedMs >= ranges.sampleMs &&
      left >= 2 * ranges.partBytes &&
      (left / received) * waitedMs > ranges.patienceMs;
    if (fresh.length > 0) yield { chunk: fresh, slow };
    askedAt = performance.now();
  }
}

/** A server that announces ranges and then does not serve them. */
class NoParts extends EngineError {
  constructor(message: string) {
    super('Unavailable', message);
  }
}

/** The rest in parts, fetched side by side, given out in order. */
async function* readParts(
  blob: Blob,
  open: OpenBlob,
  from: number,
  options: BlobReading,
  ranges: RangePolicy,
): AsyncGenerator<Uint8Array, void, undefined> {
  const stop = new AbortController();
  const signal = AbortSignal.any([options.signal, stop.signal]);
  const coming: Promise<Uint8Array[]>[] = [];
  let next = from;
  try {
    while (next < blob.size || coming.length > 0) {
      while (next < blob.size && coming.length < ranges.connections) {
        const end = Math.min(next + ranges.partBytes, blob.size);
        const part = readPart(blob, open, next, end, { ...options, signal });
        // One that fails is told when its turn comes, unless another failed before.
        part.catch(() => undefined);
        coming.push(part);
        next = end;
      }
      yield* (await coming.shift()) ?? [];
    }
  } finally {
    stop.abort(new Error('the other parts are not needed any more'));
  }
}

async function readPart(blob: Blob, open: OpenBlob, from: number, end: number, options: BlobReading): Promise<Uint8Array[]> {
  const { retry, stallTimeoutMs, signal } = options;
  const chunks: Uint8Array[] = [];
  let offset = from;
  for (let failures = 0; ; ) {
    try {
      const response = await open(offset, end, signal);
      if (response.status !== 206) {
        await response.body?.cancel();
        throw new NoParts(`blob ${blob.digest}: the registry answered with the whole when it was asked for a part`);
      }
      startOf(response, offset, blob);
      for await (const chunk of readAnswer(response, stallTimeoutMs, signal)) {
        offset += chunk.length;
        if (offset > end) throw dataLoss(`blob ${blob.digest}: the registry sent more than the part it was asked for`);
        failures = 0;
        chunks.push(chunk);
      }
      if (offset === end) return chunks;
      throw unavailable(`blob ${blob.digest} ended after ${offset} of ${blob.size} bytes: unexpected EOF`);
    } catch (err) {
      signal.throwIfAborted();
      failures += 1;
      if (err instanceof NoParts || failures >= retry.attempts || !isTransient(err)) throw err;
      await backOff(retry, failures, err, signal);
    }
  }
}

/** How many of the coming bytes we have already: none of a partial answer, all before `offset` of a full one. */
function startOf(response: Response, offset: number, blob: Blob): number {
  const length = response.headers.get('content-length');
  if (response.status === 206) {
    const range = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(response.headers.get('content-range') ?? '');
    if (range?.[1] === undefined || Number(range[1]) !== offset) {
      throw dataLoss(`blob ${blob.digest}: the registry answered with another part than was asked for`);
    }
    if (range[2] !== '*' && Number(range[2]) !== blob.size) {
      throw dataLoss(`blob ${blob.digest}: the registry says it has ${range[2] ?? ''} bytes, its manifest says ${blob.size}`);
    }
    return 0;
  }
  if (length !== null && Number(length) !== blob.size) {
    throw dataLoss(`blob ${blob.digest}: the registry offers ${length} bytes, its manifest says ${blob.size}`);
  }
  return offset;
}
