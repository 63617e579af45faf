import { dataLoss, kindOf } from '#base/errors.ts';
import { failpoint } from '#base/failpoint.ts';
import { shortId } from '#base/id.ts';
import type { RegistryRepository } from '#core/registry.ts';
import type { PendingLayer } from '#core/snapshots.ts';
import type { Descriptor } from '#oci/manifest.ts';
import type { RegistryContext } from './context.ts';
import type { Report } from './model.ts';
import { progressMeter } from './progress.ts';
import type { Lease } from './retention.ts';

/**
 * Brings one layer here and unpacks it, both at the same time: the content store writes and hashes what arrives, and what
 * is written is unpacked. A blob that is here already is only unpacked.
 */
export async function fetchLayer(
  context: RegistryContext,
  lease: Lease,
  repository: RegistryRepository,
  blob: Descriptor,
  report: Report,
  signal: AbortSignal,
): Promise<PendingLayer> {
  const id = shortId(blob.digest);
  const tell = progressMeter(report);
  // Another image may be fetching the same blob for another place.
  using _only = await context.blobLocks.acquire(blob.digest);
  signal.throwIfAborted();
  if ((await lease.keep(blob.digest)) !== undefined) {
    tell({ id, status: 'Download complete' });
    tell({ id, status: 'Extracting', current: blob.size, total: blob.size });
    return await context.snapshots.unpack({ path: await context.content.path(blob.digest) }, { signal });
  }
  if (!context.downloads.isFree) tell({ id, status: 'Waiting' });
  const unpacking = await context.downloads.run(signal, () => download(context, lease, repository, blob, tell, signal));
  tell({ id, status: 'Extracting', current: blob.size, total: blob.size });
  return await unpacking.layer;
}

/** Resolves when the blob is stored; unpacking may still go on then. */
async function download(
  context: RegistryContext,
  lease: Lease,
  repository: RegistryRepository,
  blob: Descriptor,
  tell: Report,
  signal: AbortSignal,
): Promise<{ readonly layer: Promise<PendingLayer> }> {
  const id = shortId(blob.digest);
  await using writer = await context.content.writer();
  const layer = context.snapshots.unpack({ growing: writer.growing }, { signal });
  layer.catch(() => undefined);
  try {
    for await (const chunk of repository.blob(blob, signal)) {
      await writer.write(chunk);
      tell({ id, status: 'Downloading', current: writer.sizeBytes, total: blob.size });
    }
    tell({ id, status: 'Verifying Checksum' });
    await lease.commit(writer, { digest: blob.digest, sizeBytes: blob.size }).catch((cause: unknown) => {
      if (kindOf(cause) !== 'DataLoss') throw cause;
      throw dataLoss(`filesystem layer verification failed for digest ${blob.digest}`, { cause });
    });
    failpoint('image.pull.downloaded');
    tell({ id, status: 'Download complete' });
    return { layer };
  } catch (err) {
    // Closing the writer ends the unpacking.
    await writer[Symbol.asyncDispose]();
    await layer.then(
      pending => pending[Symbol.asyncDispose](),
      () => undefined,
    );
    throw err;
  }
}
