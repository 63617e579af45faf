import { expect, test } from 'bun:test';
import type { Digest } from '#oci/digest.ts';
import { readBlob } from './read-blob.ts';

test('what was read is let go of while the rest is still coming', async () => {
  const megabyte = 1024 * 1024;
  const count = 256;
  let sent = 0;
  const body = new ReadableStream<Uint8Array>({
    async pull(out) {
      // A connection delivers later, not at once.
      await Promise.resolve();
      if (sent === count) return out.close();
      sent += 1;
      out.enqueue(new Uint8Array(megabyte).fill(sent));
    },
  });
  const blob = { mediaType: '', digest: `sha256:${'0'.repeat(64)}` as Digest, size: count * megabyte };
  const before = process.memoryUsage.rss();
  let peak = 0;
  const retry = { attempts: 1, firstPauseMs: 1 };
  const { signal } = new AbortController();
  for await (const _chunk of readBlob(blob, () => Promise.resolve(new Response(body)), { retry, stallTimeoutMs: 60_000, signal })) {
    if (sent % 16 === 0) Bun.gc(true);
    peak = Math.max(peak, process.memoryUsage.rss() - before);
  }
  expect(peak).toBeLessThan(100 * megabyte);
});
