import { dataLoss, messageOf, notFound } from '#base/errors.ts';
import { shortId } from '#base/id.ts';
import type { RegistryAuth, RegistryRepository } from '#core/registry.ts';
import type { ChainId, LayerInput } from '#core/snapshots.ts';
import { algorithmOf, chainOf, type Digest, sha256 } from '#oci/digest.ts';
import { encodeManifest } from '#oci/manifest.ts';
import { parseReference, type Reference, repositoryOf } from '#oci/reference.ts';
import type { RegistryContext } from './context.ts';
import type { ImageLayer, ImageRecord, Report } from './model.ts';
import { progressMeter } from './progress.ts';
import type { Lease } from './retention.ts';
import type { BlobKind } from './verify-report.ts';

/** How an attempt to heal ended. */
export interface Outcome {
  readonly healed: boolean;
  /** How, or why not. */
  readonly note: string;
  /** Keys of writable layers that go on with what is damaged until they are mounted anew. */
  readonly containers: readonly string[];
}

interface Healing {
  /** Images that need it. */
  readonly users: readonly ImageRecord[];
  /** Names that have it beside their images: of an index, or in one. */
  readonly names: readonly Reference[];
  authOf(domain: string): RegistryAuth | undefined;
  readonly report: Report;
  readonly signal: AbortSignal;
}

export interface DamagedBlob extends Healing {
  readonly digest: Digest;
  readonly kind: BlobKind;
  readonly soundLayers: ReadonlySet<ChainId>;
}

export interface DamagedLayer extends Healing {
  readonly chainId: ChainId;
  readonly parent: ChainId | undefined;
  /** Undefined when no image has it any more. */
  readonly layer: ImageLayer | undefined;
  readonly sound: { readonly blobs: ReadonlySet<Digest>; readonly layers: ReadonlySet<ChainId> };
}

const healed = (note: string, containers: readonly string[] = []): Outcome => ({ healed: true, note, containers });
const lost = (note: string): Outcome => ({ healed: false, note, containers: [] });

/** Fetches a blob again from where its images came, or does without it where that loses nothing. */
export async function healBlob(context: RegistryContext, lease: Lease, blob: DamagedBlob): Promise<Outcome> {
  const { digest, kind, users, soundLayers } = blob;
  if (users.length === 0 && blob.names.length === 0) {
    await context.content.remove(digest);
    return healed('removed: nothing needs it');
  }
  const uses = users.flatMap(({ layers }) => layers.filter(layer => layer.digest === digest));
  const isSpare =
    kind === 'layer blob' &&
    blob.names.length === 0 &&
    uses.every(({ chainId }) => soundLayers.has(chainId) && context.snapshots.tarSize(chainId) !== undefined);
  if (isSpare && uses.every(({ diffId }) => diffId === digest)) {
    await context.content.remove(digest);
    return healed('removed: the same bytes are in the unpacked layer');
  }
  const fetched = await fetchAgain(context, lease, digest, formsOf(kind), blob);
  if (fetched.from !== undefined) return healed(`pulled again from ${fetched.from}`);
  if (isSpare) {
    await context.content.remove(digest);
    return healed(`removed: the layer's tar is made again when it is needed (${fetched.why})`);
  }
  if (kind === 'manifest') return await remakeManifests(context, lease, digest, users, fetched.why);
  return lost(`${fetched.why}: remove the image, then pull, load or build it again`);
}

/** How registries give a blob of this kind. What is attested of an image consists of a manifest and blobs, and an index may stand in an index. */
function formsOf(kind: BlobKind): readonly Form[] {
  if (kind === 'manifest' || kind === 'index') return ['manifest'];
  return kind === 'attestation' ? ['blob', 'manifest'] : ['blob'];
}

/** A manifest says nothing that the record of its image does not. */
async function remakeManifests(
  context: RegistryContext,
  lease: Lease,
  digest: Digest,
  users: readonly ImageRecord[],
  why: string,
): Promise<Outcome> {
  await context.content.remove(digest);
  for (const { id } of users) {
    const image = context.store.get(id);
    if (image === undefined) continue;
    const config = await context.content.info(id);
    if (config === undefined) return lost(`the image config is not there either (${why})`);
    const layers = image.layers.map(layer => ({ mediaType: layer.mediaType, digest: layer.digest, size: layer.sizeBytes }));
    const { digest: manifest } = await lease.put(encodeManifest({ digest: id, size: config.sizeBytes }, layers));
    if (manifest !== digest) context.store.put({ ...image, manifest });
  }
  return healed(`made again from what is known of the image (${why})`);
}

/** Unpacks a layer again beside the damaged one and puts it in its place. */
export async function healLayer(context: RegistryContext, lease: Lease, damaged: DamagedLayer): Promise<Outcome> {
  const { chainId, parent, layer, sound, signal } = damaged;
  const { snapshots, content } = context;
  const replace = async (input: LayerInput, note: string): Promise<Outcome> => {
    await using pending = await snapshots.unpack(input, { signal });
    const { diffId } = pending.unpacked;
    if (chainOf(diffId, parent) !== chainId) throw dataLoss(`what was unpacked again has the diff id ${diffId}, which is another layer`);
    const containers = await pending.replace(chainId);
    return healed(note, containers);
  };
  if (layer !== undefined && sound.blobs.has(layer.digest)) {
    return await replace({ path: await content.path(layer.digest) }, 'unpacked again from the blob that is here');
  }
  const twin = layer && twinOf(context, layer, sound.layers);
  if (twin !== undefined) {
    return await replace(
      { stream: snapshots.tar(twin, { signal }), compression: 'none' },
      'unpacked again from the same layer of another image',
    );
  }
  const why: string[] = [];
  const known = layer && context.sources.find(layer.diffId);
  for (const digest of layer === undefined ? [] : new Set([layer.digest, ...(known === undefined ? [] : [known.digest])])) {
    const fetched = await fetchAgain(context, lease, digest, ['blob'], damaged);
    if (fetched.from === undefined) why.push(fetched.why);
    else return await replace({ path: await content.path(digest) }, `pulled again from ${fetched.from}`);
  }
  const forgotten = damaged.users.length > 0 ? [] : forget(context, chainId);
  if (forgotten.length > 0) return healed(`${forgotten.join(', ')} is forgotten: the next build does it again`);
  if (layer === undefined)
    return lost('its image was removed, so that nobody knows where to pull it from: remove the containers that stand on it');
  return lost(`${[...new Set(why)].join('; ')}: remove the image, then pull, load or build it again`);
}

/** Has caches give up a layer and everything that stands on it. Returns what that was, in words. */
function forget(context: RegistryContext, chainId: ChainId): string[] {
  const gone = new Set([chainId]);
  for (const layer of context.snapshots.chains()) if (layer.parent !== undefined && gone.has(layer.parent)) gone.add(layer.chainId);
  return [...gone].flatMap(chain => context.contentUsers.flatMap(user => user.forget(chain)));
}

/** The same layer in another place, sound and with a tar. */
function twinOf(context: RegistryContext, layer: ImageLayer, sound: ReadonlySet<ChainId>): ChainId | undefined {
  const all = [...context.store.all().flatMap(image => image.layers), ...context.contentUsers.flatMap(user => [...user.layers()])];
  return all.find(
    ({ diffId, chainId }) =>
      diffId === layer.diffId && chainId !== layer.chainId && sound.has(chainId) && context.snapshots.tarSize(chainId) !== undefined,
  )?.chainId;
}

type Form = 'manifest' | 'blob';

type Fetched = { readonly from: string; readonly why?: never } | { readonly from?: undefined; readonly why: string };

/** Brings a blob here from the first repository that has it. The damaged one is there until then. */
async function fetchAgain(
  context: RegistryContext,
  lease: Lease,
  digest: Digest,
  forms: readonly Form[],
  healing: Healing,
): Promise<Fetched> {
  const repositories = repositoriesOf(context, digest, healing);
  if (repositories.length === 0) return { why: 'no registry is known to have it: it was built, loaded or imported here' };
  const failures: string[] = [];
  for (const name of repositories) {
    const reference = parseReference(name);
    const repository = context.registry.repository(reference, { actions: 'pull', auth: healing.authOf(reference.domain) });
    for (const form of forms) {
      try {
        if (form === 'manifest') await storeManifest(context, lease, repository, digest, healing.signal);
        else await storeBlob(context, lease, repository, digest, healing);
        return { from: name };
      } catch (err) {
        healing.signal.throwIfAborted();
        failures.push(`${name} did not give it: ${messageOf(err)}`);
      }
    }
  }
  return { why: failures.join('; ') };
}

function repositoriesOf(context: RegistryContext, digest: Digest, { users, names }: Healing): string[] {
  const ofLayer = users
    .flatMap(({ layers }) => layers)
    .filter(layer => layer.digest === digest)
    .flatMap(layer => context.sources.find(layer.diffId)?.repositories ?? []);
  const ofImages = users.flatMap(({ id }) => context.store.references(id));
  // A repository is known to have what a digest of it names.
  const published = [...ofImages, ...names].filter(ref => ref.digest !== undefined).map(repositoryOf);
  return [...new Set([...ofLayer, ...published])];
}

async function storeManifest(
  context: RegistryContext,
  lease: Lease,
  repository: RegistryRepository,
  digest: Digest,
  signal: AbortSignal,
): Promise<void> {
  const { bytes } = await repository.manifest(digest, signal);
  if (sha256(bytes) !== digest) throw notFound(`the registry has another manifest under ${digest}`);
  await context.content.remove(digest);
  await lease.put(bytes);
}

async function storeBlob(
  context: RegistryContext,
  lease: Lease,
  repository: RegistryRepository,
  digest: Digest,
  { report, signal }: Healing,
): Promise<void> {
  const tell = progressMeter(report);
  const size = await repository.blobSize(digest, signal);
  await using writer = await context.content.writer();
  const hash = new Bun.CryptoHasher(algorithmOf(digest));
  for await (const chunk of repository.blob({ digest, size }, signal)) {
    hash.update(chunk);
    await writer.write(chunk);
    tell({ id: shortId(digest), status: 'Downloading', current: writer.sizeBytes, total: size });
  }
  // The damaged one goes only when there is something to take its place.
  const actual = `${algorithmOf(digest)}:${hash.digest('hex')}`;
  if (actual !== digest) throw dataLoss(`it sent other bytes, with the digest ${actual}`);
  await context.content.remove(digest);
  await lease.commit(writer, { digest });
  tell({ id: shortId(digest), status: 'Download complete' });
}
