import { kindOf, notFound } from '#base/errors.ts';
import type { RegistryRepository } from '#core/registry.ts';
import { sha256 } from '#oci/digest.ts';
import { type Descriptor, isImageEntry, parseManifest } from '#oci/manifest.ts';
import type { Reference } from '#oci/reference.ts';
import type { RegistryContext } from './context.ts';
import type { ImageRecord, IndexRecord, Report } from './model.ts';
import { type Pushed, pushImage, pushSmallBlob } from './push-image.ts';

/** What becomes of each entry of an index in a push. */
export interface IndexPlan {
  readonly images: readonly { readonly entry: Descriptor; readonly image: ImageRecord }[];
  /** Manifests of what is attested, which are here. */
  readonly attestations: readonly Descriptor[];
  /** Entries that the registry has already. */
  readonly there: readonly Descriptor[];
}

/**
 * Looks what of an index is here, and what the registry has. Undefined when only one platform of several is here: that one is pushed then, as nobody has the
 * rest. Rejects with NotFound when there are several, but not all.
 */
export async function planIndex(
  context: RegistryContext,
  repository: RegistryRepository,
  index: IndexRecord,
  signal: AbortSignal,
): Promise<IndexPlan | undefined> {
  const members = context.store.members(index);
  const images: { entry: Descriptor; image: ImageRecord }[] = [];
  const attestations: Descriptor[] = [];
  const there: Descriptor[] = [];
  const missing: Descriptor[] = [];
  for (const entry of index.entries) {
    const image = members.find(member => member.manifest === entry.digest);
    if (image !== undefined) images.push({ entry, image });
    else if (!isImageEntry(entry) && index.blobs.includes(entry.digest)) attestations.push(entry);
    else if (await isThere(repository, entry, signal)) there.push(entry);
    else if (isImageEntry(entry)) missing.push(entry);
  }
  if ((await context.content.info(index.digest)) === undefined) return undefined;
  if (missing.length === 0) return { images, attestations, there };
  if (images.length <= 1) return undefined;
  throw notFound(
    `missing content: ${missing.map(entry => entry.digest).join(', ')}. You're trying to push a manifest list/index which references multiple platform specific manifests, ` +
      `but not all of them are available locally or available to the remote repository. ` +
      `Pull the missing platforms, or push a single one with the --platform flag.`,
  );
}

async function isThere(repository: RegistryRepository, entry: Descriptor, signal: AbortSignal): Promise<boolean> {
  try {
    await repository.manifestDigest(entry.digest, signal);
    return true;
  } catch (err) {
    if (kindOf(err) === 'NotFound') return false;
    throw err;
  }
}

/** Sends an index: its images by their digests, then the index under the tag. */
export async function pushIndex(
  context: RegistryContext,
  repository: RegistryRepository,
  ref: Reference,
  index: IndexRecord,
  plan: IndexPlan,
  report: Report,
  signal: AbortSignal,
): Promise<Pushed> {
  await using lease = context.retention.lease();
  await lease.hold(index.blobs, []);
  /** By the digest in the index: what was sent for it. */
  const sent = new Map<string, Descriptor>();
  for (const { entry, image } of plan.images) {
    const pushed = await pushImage(context, repository, ref, image, report, signal);
    await repository.putManifest(pushed.descriptor.digest, pushed.descriptor.mediaType, pushed.bytes, signal);
    sent.set(entry.digest, { ...entry, ...pushed.descriptor });
  }
  for (const entry of plan.attestations) {
    const about = entry.annotations?.['vnd.docker.reference.digest'];
    // It speaks of an image that was sent in another form.
    if (about !== undefined && sent.has(about) && sent.get(about)?.digest !== about) continue;
    await pushAttestation(context, repository, entry, signal);
    sent.set(entry.digest, entry);
  }
  for (const entry of plan.there) sent.set(entry.digest, entry);
  const bytes = await indexBytes(context, index, sent);
  await repository.putManifest(ref.tag ?? 'latest', index.mediaType, bytes, signal);
  return { descriptor: { mediaType: index.mediaType, digest: sha256(bytes), size: bytes.length }, bytes };
}

async function pushAttestation(
  context: RegistryContext,
  repository: RegistryRepository,
  entry: Descriptor,
  signal: AbortSignal,
): Promise<void> {
  const bytes = await context.content.read(entry.digest);
  const manifest = parseManifest(bytes, entry.mediaType);
  if (manifest.kind !== 'manifest') return;
  for (const part of [manifest.config, ...manifest.layers]) await pushSmallBlob(context, repository, part.digest, signal);
  await repository.putManifest(entry.digest, manifest.mediaType, bytes, signal);
}

/** The index as it came if everything in it was sent as it came; otherwise one of what was sent. */
async function indexBytes(context: RegistryContext, index: IndexRecord, sent: ReadonlyMap<string, Descriptor>): Promise<Uint8Array> {
  const original = await context.content.read(index.digest);
  const isFlat = parseManifest(original, index.mediaType);
  const isWhole = index.entries.every(entry => sent.get(entry.digest)?.digest === entry.digest);
  if (isWhole && isFlat.kind === 'index' && isFlat.manifests.length === index.entries.length) return original;
  const manifests = index.entries.flatMap(entry => sent.get(entry.digest) ?? []);
  return new TextEncoder().encode(JSON.stringify({ schemaVersion: 2, mediaType: index.mediaType, manifests }));
}
