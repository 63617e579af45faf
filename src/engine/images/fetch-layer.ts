import { dataLoss, kindOf, messageOf } from '#base/errors.ts';
import { failpoint } from '#base/failpoint.ts';
import { shortId } from '#base/id.ts';
import type { ContentWriter } from '#core/content.ts';
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
  if ((await lease.keep(blob.digest)) !== undefined && (await isSound(context, blob, signal))) {
    tell({ id, status: 'Download complete' });
    tell({ id, status: 'Extracting', current: blob.size, total: blob.size });
    return await context.snapshots.unpack({ path: await context.content.path(blob.digest) }, { signal });
  }
  if (!context.downloads.isFree) tell({ id, status: 'Waiting' });
  const unpacking = await context.downloads.run(signal, () => download(context, lease, repository, blob, tell, signal));
  tell({ id, status: 'Extracting', current: blob.size, total: blob.size });
  return await unpacking.layer;
}

/** Whether a blob that is here is what it should be. One that is not goes: it is downloaded anew. */
async function isSound(context: RegistryContext, { digest }: Descriptor, signal: AbortSignal): Promise<boolean> {
  if ((await context.content.verify(digest, { signal })) === true) return true;
  context.log.warn('a blob is damaged on disk: it is downloaded again', { blob: digest });
  await context.content.remove(digest);
  return false;
}

/** Unfinished downloads that nobody goes on with are of no use after this long: what they are of has moved on. */
export const unfinishedLifetimeMs = 24 * 3_600_000;

/** Resolves when the blob is stored; unpacking may still go on then. Goes on where an earlier download was interrupted. */
async function download(
  context: RegistryContext,
  lease: Lease,
  repository: RegistryRepository,
  blob: Descriptor,
  tell: Report,
  signal: AbortSignal,
): Promise<{ readonly layer: Promise<PendingLayer> }> {
  await context.content.removeUnfinished(unfinishedLifetimeMs);
  await using writer = await context.content.writer({ resume: blob.digest });
  const from = writer.sizeBytes;
  if (from <= blob.size) {
    try {
      return await receive(context, lease, repository, blob, writer, tell, signal);
    } catch (err) {
      if (from === 0 || kindOf(err) !== 'DataLoss') throw err;
      // What was there before may be what is wrong: a power cut can leave anything.
      context.log.warn('an interrupted download was not what it should be: it begins anew', { blob: blob.digest, error: err });
    }
  }
  await writer.discard();
  await using fresh = await context.content.writer({ resume: blob.digest });
  return await receive(context, lease, repository, blob, fresh, tell, signal);
}

async function receive(
  context: RegistryContext,
  lease: Lease,
  repository: RegistryRepository,
  blob: Descriptor,
  writer: ContentWriter,
  tell: Report,
  signal: AbortSignal,
): Promise<{ readonly layer: Promise<PendingLayer> }> {
  const id = shortId(blob.digest);
  const layer = context.snapshots.unpack({ growing: writer.growing }, { signal });
  layer.catch(() => undefined);
  try {
    if (writer.sizeBytes < blob.size || blob.size === 0) {
      for await (const chunk of repository.blob(blob, signal, writer.sizeBytes)) {
        await writer.write(chunk);
        failpoint('image.pull.received');
        tell({ id, status: 'Downloading', current: writer.sizeBytes, total: blob.size });
      }
    }
    tell({ id, status: 'Verifying Checksum' });
    await lease.commit(writer, { digest: blob.digest, sizeBytes: blob.size }).catch((cause: unknown) => {
      if (kindOf(cause) !== 'DataLoss') throw cause;
      throw dataLoss(`filesystem layer verification failed for digest ${blob.digest}: ${messageOf(cause)}`, { cause });
    });
    failpoint('image.pull.downloaded');
    tell({ id, status: 'Download complete' });
    return { layer };
  } catch (err) {
    // Closing the writer ends the unpacking. What a registry lied about is of no use to a later pull.
    await (kindOf(err) === 'DataLoss' ? writer.discard() : writer[Symbol.asyncDispose]());
    await layer.then(
      pending => pending[Symbol.asyncDispose](),
      () => undefined,
    );
    throw err;
  }
}
