import { dataLoss, unavailable } from '#base/errors.ts';
import { RegistryError } from '#core/registry.ts';

/** The body, given up when no byte arrives for a while. */
export async function* readAnswer(response: Response, timeoutMs: number, signal: AbortSignal): AsyncGenerator<Uint8Array, void, undefined> {
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

/** A small answer as a whole. Rejects with DataLoss when it is longer. */
export async function readLimited(response: Response, maxBytes: number, url: string): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  let bytes = 0;
  try {
    for await (const chunk of response.body ?? []) {
      bytes += chunk.length;
      if (bytes > maxBytes) throw dataLoss(`Get "${url}": the answer is longer than ${maxBytes} bytes`);
      parts.push(chunk);
    }
  } catch (err) {
    if (err instanceof TypeError) throw new RegistryError('Unavailable', 'UNKNOWN', `Get "${url}": unexpected EOF`, { cause: err });
    throw err;
  }
  return Buffer.concat(parts);
}
