import { once } from 'node:events';
import type { Transform } from 'node:stream';

/**
 * Sends a stream through a zlib transform, which works on another thread. A failure of either side ends both; `explain` puts those of the transform
 * into words.
 */
export async function* transformWith(
  transform: Transform,
  source: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
  explain: (err: unknown) => unknown = err => err,
): AsyncGenerator<Uint8Array, void, undefined> {
  const feed = async (): Promise<void> => {
    for await (const chunk of source) {
      signal.throwIfAborted();
      if (transform.destroyed) return;
      if (!transform.write(chunk)) await once(transform, 'drain');
    }
    transform.end();
  };
  let sourceFailure: Error | undefined;
  feed().catch((err: unknown) => {
    if (transform.destroyed) return;
    sourceFailure = err instanceof Error ? err : new Error(String(err));
    transform.destroy(sourceFailure);
  });
  try {
    for await (const chunk of transform) yield chunk as Uint8Array;
  } catch (err) {
    throw sourceFailure ?? explain(err);
  } finally {
    transform.destroy();
  }
}
