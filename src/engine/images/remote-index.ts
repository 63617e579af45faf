import { dataLoss, messageOf, notFound } from '#base/errors.ts';
import type { RegistryRepository, RemoteManifest } from '#core/registry.ts';
import type { Digest } from '#oci/digest.ts';
import { type Descriptor, type ImageManifest, parseManifest, selectManifest } from '#oci/manifest.ts';
import { formatPlatform, type Platform } from '#oci/platform.ts';
import type { RegistryContext } from './context.ts';
import type { IndexRecord } from './model.ts';
import type { Lease } from './retention.ts';

/** What a registry has under a name, with the manifest that was chosen of it. */
export interface ChosenManifest {
  readonly manifest: ImageManifest;
  readonly bytes: Uint8Array;
  /** The index that it was found in, and the one below that. */
  readonly indexes: readonly { readonly remote: RemoteManifest; readonly entries: readonly Descriptor[] }[];
}

const maxDepth = 4;

/** The manifest for the platform; from an index, the best of its entries. Rejects with NotFound, DataLoss. */
export async function chooseManifest(
  context: RegistryContext,
  repository: RegistryRepository,
  remote: RemoteManifest,
  platform: Platform | undefined,
  signal: AbortSignal,
): Promise<ChosenManifest> {
  const indexes: { remote: RemoteManifest; entries: readonly Descriptor[] }[] = [];
  let current = remote;
  for (let depth = 0; depth < maxDepth; depth += 1) {
    const parsed = parseManifest(current.bytes, current.mediaType);
    if (parsed.kind === 'manifest') return { manifest: parsed, bytes: current.bytes, indexes };
    indexes.push({ remote: { ...current, mediaType: parsed.mediaType }, entries: parsed.manifests });
    const wanted = platform ?? context.platform;
    const entry = selectManifest(parsed, wanted);
    if (entry === undefined) throw notFound(`no matching manifest for ${formatPlatform(wanted)} in the manifest list entries`);
    current = await repository.manifest(entry.digest, signal);
    if (current.bytes.length !== entry.size) {
      throw dataLoss(`manifest ${entry.digest} has ${current.bytes.length} bytes, the list that names it says ${entry.size}`);
    }
  }
  throw dataLoss(`the manifest list ${remote.digest} is nested too deeply`);
}

const maxAttestationBytes = 32 * 1024 * 1024;

/**
 * Keeps an index whole: its own bytes, and what is attested of the image that was chosen. Undefined when there was none. What is attested is no part
 * of the image: a registry that does not give it loses us nothing but that.
 */
export async function keepIndex(
  context: RegistryContext,
  lease: Lease,
  repository: RegistryRepository,
  { indexes, bytes }: ChosenManifest,
  signal: AbortSignal,
): Promise<IndexRecord | undefined> {
  const [top] = indexes;
  if (top === undefined) return undefined;
  const blobs: Digest[] = [];
  for (const { remote } of indexes) blobs.push((await lease.put(remote.bytes)).digest);
  const { digest: manifest } = await lease.put(bytes);
  const entries = flatten(indexes);
  for (const entry of entries) {
    if (entry.annotations?.['vnd.docker.reference.type'] !== 'attestation-manifest') continue;
    if (entry.annotations['vnd.docker.reference.digest'] !== manifest) continue;
    try {
      blobs.push(...(await fetchAttestation(lease, repository, entry, signal)));
    } catch (err) {
      signal.throwIfAborted();
      context.log.warn('an attestation was not fetched', { manifest: entry.digest, error: messageOf(err) });
    }
  }
  return { digest: top.remote.digest, mediaType: top.remote.mediaType, blobs, entries };
}

/** The entries, with those of an inner index in its place. */
function flatten(indexes: ChosenManifest['indexes']): readonly Descriptor[] {
  const [top, ...below] = indexes;
  if (top === undefined) return [];
  const [inner] = below;
  return top.entries.flatMap(entry => (inner !== undefined && entry.digest === inner.remote.digest ? flatten(below) : [entry]));
}

async function fetchAttestation(lease: Lease, repository: RegistryRepository, entry: Descriptor, signal: AbortSignal): Promise<Digest[]> {
  const remote = await repository.manifest(entry.digest, signal);
  const parsed = parseManifest(remote.bytes, remote.mediaType);
  if (parsed.kind !== 'manifest') throw dataLoss('it is an index');
  const parts = [parsed.config, ...parsed.layers];
  const total = parts.reduce((sum, part) => sum + part.size, 0);
  if (total > maxAttestationBytes)
    throw dataLoss(`its ${String(total)} bytes are more than the ${String(maxAttestationBytes)} that are kept`);
  const kept: Digest[] = [(await lease.put(remote.bytes)).digest];
  for (const part of parts) {
    const chunks: Uint8Array[] = [];
    for await (const chunk of repository.blob(part, signal)) chunks.push(chunk.slice());
    const { digest } = await lease.put(Buffer.concat(chunks));
    if (digest !== part.digest) throw dataLoss(`${part.digest} has other bytes: ${digest}`);
    kept.push(digest);
  }
  return kept;
}
