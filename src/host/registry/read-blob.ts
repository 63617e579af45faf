import { dataLoss, unavailable } from '#base/errors.ts';
import type { Descriptor } from '#oci/manifest.ts';
import { backOff, isTransient, type RetryPolicy } from './retry.ts';

/** Asks for the blob from this byte on; the answer has been checked for refusal. */
export type OpenBlob = (offset: number, signal: AbortSignal) => Promise<Response>;

/** See `RegistryRepository.blob`. Attempts are counted anew whenever bytes arrive. */
export async function* readBlob(
  blob: Pick<Descriptor, 'digest' | 'size'>,
  open: OpenBlob,
  options: { readonly retry: RetryPolicy; readonly stallTimeoutMs: number; readonly signal: AbortSignal; readonly from?: number },
): AsyncGenerator<Uint8Array, void, undefined> {
  const { retry, stallTimeoutMs, signal } = options;
  let offset = options.from ?? 0;
  for (let failures = 0; ; ) {
    try {
      const response = await open(offset, signal);
      let skip = startOf(response, offset, blob);
      for await (const chunk of withStallLimit(response, stallTimeoutMs, signal)) {
        const fresh = chunk.subarray(Math.min(skip, chunk.length));
        skip -= chunk.length - fresh.length;
        if (fresh.length === 0) continue;
        offset += fresh.length;
        if (offset > blob.size) throw dataLoss(`blob ${blob.digest} is longer than the ${blob.size} bytes its manifest says`);
        failures = 0;
        yield fresh;
      }
      if (offset === blob.size) return;
      throw unavailable(`blob ${blob.digest} ended after ${offset} of ${blob.size} bytes: unexpected EOF`);
    } catch (err) {
      signal.throwIfAborted();
      failures += 1;
      if (failures >= retry.attempts || !isTransient(err)) throw err;
      await backOff(retry, failures, signal);
    }
  }
}

/** How many of the coming bytes we have already: none of a partial answer, all before `offset` of a full one. */
function startOf(response: Response, offset: number, blob: Pick<Descriptor, 'digest' | 'size'>): number {
  const length = response.headers.get('content-length');
  if (response.status === 206) {
    const range = /^bytes (\d+)-/.exec(response.headers.get('content-range') ?? '');
    if (range?.[1] === undefined || Number(range[1]) !== offset) {
      throw dataLoss(`blob ${blob.digest}: the registry answered with another part than was asked for`);
    }
    return 0;
  }
  if (length !== null && Number(length) !== blob.size) {
    throw dataLoss(`blob ${blob.digest}: the registry offers ${length} bytes, its manifest says ${blob.size}`);
  }
  return offset;
}

/** The body, given up when no byte arrives for a while. */
async function* withStallLimit(response: Response, timeoutMs: number, signal: AbortSignal): AsyncGenerator<Uint8Array, void, undefined> {
  const reader = response.body?.getReader();
  if (reader === undefined) return;
  // One promise per read: racing each with a common one would keep every chunk until the last has come.
  let fail: (reason: unknown) => void = () => undefined;
  const read = (): ReturnType<typeof reader.read> => {
    const { promise, resolve, reject } = Promise.withResolvers<Awaited<ReturnType<typeof reader.read>>>();
    fail = reject;
    reader.read().then(resolve, reject);
    return promise;
  };
  const giveUp = (): void => fail(unavailable(`no data for ${timeoutMs / 1000} seconds`));
  const onAbort = (): void => fail(signal.reason);
  let timer = setTimeout(giveUp, timeoutMs);
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    for (;;) {
      signal.throwIfAborted();
      const { done, value } = await read();
      if (done) return;
      // The reader may be slow: only waiting for the registry counts.
      clearTimeout(timer);
      yield value;
      timer = setTimeout(giveUp, timeoutMs);
    }
  } catch (err) {
    throw err instanceof TypeError ? unavailable(`the connection broke: ${err.message.split('.')[0] ?? ''}`, { cause: err }) : err;
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', onAbort);
    // Does not wait: a dead connection may never answer.
    reader.cancel().catch(() => undefined);
  }
}
