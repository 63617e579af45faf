import { cleanUp } from '#base/dispose.ts';
import { dataLoss, internal, invalidArgument, kindOf, notFound } from '#base/errors.ts';
import { shortId } from '#base/id.ts';
import { type RegistryAuth, RegistryError, type RegistryRepository } from '#core/registry.ts';
import type { PendingLayer } from '#core/snapshots.ts';
import { chainIds, type Digest, sha256 } from '#oci/digest.ts';
import type { ImageConfigFile } from '#oci/image-config.ts';
import { type Descriptor, type ImageManifest, mediaTypes } from '#oci/manifest.ts';
import { formatPlatform, normalizePlatform, type Platform, platformRank } from '#oci/platform.ts';
import { familiarName, familiarString, type Reference, repositoryOf, withDefaultTag, withDigest, withTag } from '#oci/reference.ts';
import { addImage, diffIdsOf } from './add-image.ts';
import type { RegistryContext } from './context.ts';
import { fetchLayer } from './fetch-layer.ts';
import { publishImageEvent } from './image-events.ts';
import { type ChosenManifest, chooseManifest, keepIndex } from './remote-index.ts';
import { settleIndexes } from './settle-indexes.ts';
import { parseConfig } from './image-store.ts';
import type { FetchLayer, LayerTicket } from './layer-flights.ts';
import type { ImageRecord, Report } from './model.ts';
import type { Lease } from './retention.ts';

export interface PullOptions {
  /** Without tag and digest: `latest`, or with `allTags` every one. */
  readonly reference: Reference;
  readonly allTags: boolean;
  /** What to take from an index; undefined: what this machine runs best. */
  readonly platform: Platform | undefined;
  /** Whether the only image there is will do when it is for another platform. Default: false. */
  readonly acceptsOther?: boolean;
  readonly auth: RegistryAuth | undefined;
  /** Sent with every request (`X-Meta-…`). */
  readonly headers?: Readonly<Record<string, string>>;
}

/** Brings images here. What fails before the first progress was reported has changed nothing; later failures leave nothing new either. */
export async function pullImages(context: RegistryContext, options: PullOptions, report: Report, signal: AbortSignal): Promise<void> {
  const { reference, auth, headers } = options;
  const repository = context.registry.repository(reference, { actions: 'pull', auth, headers });
  if (!options.allTags) return await pullOne(context, repository, withDefaultTag(reference), options, report, signal);
  const tags = await explained(reference, () => repository.tags(signal));
  if (tags.length === 0) throw notFound(`no tags found for repository ${familiarName(reference)}`);
  for (const tag of tags) await pullOne(context, repository, withTag(reference, tag), options, report, signal);
}

async function pullOne(
  context: RegistryContext,
  repository: RegistryRepository,
  reference: Reference,
  options: PullOptions,
  report: Report,
  signal: AbortSignal,
): Promise<void> {
  const wanted = reference.digest ?? reference.tag ?? 'latest';
  const remote = await explained(reference, () => repository.manifest(wanted, signal));
  const chosen = await chooseManifest(context, repository, remote, options.platform, signal);
  const { manifest } = chosen;
  checkKinds(manifest);
  report({ id: wanted, status: `Pulling from ${reference.path}` });
  const name = reference.digest === undefined ? reference : withDigest(reference, reference.digest);
  const before = context.store.byReference(name);
  const target = { chosen, name: familiarString(name), platform: options.acceptsOther === true ? undefined : options.platform };
  const image = await fetchImage(context, repository, target, [name, withDigest(reference, remote.digest)], report, signal).catch(
    async (err: unknown) => {
      // Only what was interrupted can be gone on with; what failed for good keeps no part of its layers.
      if (!signal.aborted && kindOf(err) !== 'Unavailable') await dropUnfinished(context, manifest);
      throw err;
    },
  );
  for (const layer of image.layers) context.sources.note(layer.diffId, layer, repositoryOf(reference));
  await settleIndexes(context);
  const isNew = before?.id !== image.id;
  report({ status: `Digest: ${remote.digest}` });
  report({ status: `Status: ${isNew ? 'Downloaded newer image' : 'Image is up to date'} for ${familiarString(name)}` });
  await publishImageEvent(context, 'pull', image.id, { actorId: familiarString(name), name: familiarName(name) });
}

async function dropUnfinished(context: RegistryContext, manifest: ImageManifest): Promise<void> {
  const blobs = new Set(manifest.layers.map(layer => layer.digest));
  await cleanUp('unfinished downloads', context.log, () => context.content.removeUnfinished(0, digest => blobs.has(digest)));
}

/** What registries have called the configuration of an image; the wrong ones are old mistakes of registries. */
const configTypes: readonly string[] = [
  mediaTypes.ociConfig,
  mediaTypes.dockerConfig,
  'application/octet-stream',
  'application/json',
  'text/html',
  '',
];
const layerType =
  /^application\/vnd\.(oci\.image\.layer\.(nondistributable\.)?v1\.tar|docker\.image\.rootfs\.(foreign\.)?diff\.tar)([.+](gzip|zstd))?$/;

/** Registries keep other things than images: charts, signatures, plugins. Rejects with DataLoss before anything of them is fetched. */
function checkKinds({ config, layers }: ImageManifest): void {
  if (!configTypes.includes(config.mediaType)) {
    throw dataLoss(
      `this is not an image: its manifest has a config of the type ${JSON.stringify(config.mediaType)}, expected ${mediaTypes.ociConfig}`,
    );
  }
  const strange = layers.find(
    layer => layer.mediaType !== '' && layer.mediaType !== 'application/octet-stream' && !layerType.test(layer.mediaType),
  );
  if (strange === undefined) return;
  throw dataLoss(
    `layer ${strange.digest} has the unsupported type ${JSON.stringify(strange.mediaType)}, expected ${mediaTypes.ociLayer}, with gzip or zstd`,
  );
}

interface Wanted {
  readonly chosen: ChosenManifest;
  readonly name: string;
  readonly platform: Platform | undefined;
}

async function fetchImage(
  context: RegistryContext,
  repository: RegistryRepository,
  wanted: Wanted,
  names: readonly Reference[],
  report: Report,
  signal: AbortSignal,
): Promise<ImageRecord> {
  const { manifest, bytes } = wanted.chosen;
  await using lease = context.retention.lease();
  // From here on nobody takes away what is found to be here.
  await lease.hold([manifest.config.digest, ...manifest.layers.map(layer => layer.digest)], []);
  const known = context.store.get(manifest.config.digest);
  const configBytes = known === undefined ? await fetchConfig(repository, manifest.config, signal) : await context.content.read(known.id);
  const config = parseConfig(configBytes, manifest.config.digest);
  checkRunnable(config, wanted);
  // It may have gone meanwhile, or have been added anew with other blobs.
  const current = known === undefined ? undefined : context.store.get(known.id);
  const index = await keepIndex(context, lease, repository, wanted.chosen, signal);
  if (current !== undefined) {
    signal.throwIfAborted();
    context.store.put(current, names, index);
    return current;
  }
  const chain = chainIds(diffIdsOf(config, manifest.layers.length));
  await lease.hold([], chain);
  await using layers = await startLayers(context, lease, repository, { blobs: manifest.layers, chain, report, signal });
  return await addImage(
    context,
    lease,
    { configBytes, config, manifestBytes: bytes, layers: manifest.layers, names, index },
    {
      layer: layers.get,
      stored: layers.stored,
      onPlaced: index => {
        if (layers.isFetched(index)) report({ id: shortId(manifest.layers[index]?.digest ?? ''), status: 'Pull complete' });
      },
    },
    signal,
  );
}

interface FetchedLayers extends AsyncDisposable {
  /** Waits until the blob is stored. */
  stored(index: number): Promise<void>;
  get(index: number): Promise<PendingLayer>;
  /** False for one that was here before. */
  isFetched(index: number): boolean;
}

/** Starts all layers that are not here, in parallel. One that fails fails all. */
async function startLayers(
  context: RegistryContext,
  lease: Lease,
  repository: RegistryRepository,
  image: {
    readonly blobs: readonly Descriptor[];
    readonly chain: readonly Digest[];
    readonly report: Report;
    readonly signal: AbortSignal;
  },
): Promise<FetchedLayers> {
  const { blobs, chain, report, signal } = image;
  await using undo = new AsyncDisposableStack();
  const failure = Promise.withResolvers<never>();
  failure.promise.catch(() => undefined);
  const onAbort = (): void => failure.reject(signal.reason);
  signal.addEventListener('abort', onAbort, { once: true });
  undo.defer(() => signal.removeEventListener('abort', onAbort));
  const isHere: boolean[] = [];
  for (const [index, blob] of blobs.entries()) {
    const chainId = chain[index] as Digest;
    const hasBytes = context.snapshots.tarSize(chainId) !== undefined || (await context.content.info(blob.digest)) !== undefined;
    isHere.push(context.snapshots.has(chainId) && hasBytes);
    report({ id: shortId(blob.digest), status: isHere[index] === true ? 'Already exists' : 'Pulling fs layer' });
  }
  undo.use(await context.room.keep(blobs.filter((_blob, index) => isHere[index] === false)));
  signal.throwIfAborted();
  const tickets: (LayerTicket | undefined)[] = [];
  for (const [index, blob] of blobs.entries()) {
    const fetch: FetchLayer = (tell, stop) => fetchLayer(context, lease, repository, blob, tell, stop);
    const ticket = isHere[index] === true ? undefined : undo.use(context.flights.join(chain[index] as Digest, blob.digest, fetch, report));
    ticket?.layer.catch(failure.reject);
    tickets.push(ticket);
  }
  const kept = undo.move();
  return {
    isFetched: index => tickets[index] !== undefined,
    async stored(index) {
      const ticket = tickets[index];
      if (ticket !== undefined) await Promise.race([ticket.layer, failure.promise]);
    },
    async get(index) {
      const ticket = tickets[index];
      if (ticket === undefined) throw internal(`layer ${chain[index] ?? index} went away during a pull`);
      return await Promise.race([ticket.layer, failure.promise]);
    },
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  };
}

const maxConfigBytes = 16 * 1024 * 1024;

async function fetchConfig(repository: RegistryRepository, descriptor: Descriptor, signal: AbortSignal): Promise<Uint8Array> {
  if (descriptor.size > maxConfigBytes) throw dataLoss(`the image config ${descriptor.digest} of ${descriptor.size} bytes is too large`);
  const parts: Uint8Array[] = [];
  for await (const chunk of repository.blob(descriptor, signal)) parts.push(chunk.slice());
  const bytes = Buffer.concat(parts);
  if (sha256(bytes) !== descriptor.digest) throw dataLoss(`image config verification failed for digest ${descriptor.digest}`);
  return bytes;
}

/** Rejects with InvalidArgument for another operating system, with NotFound when the one image there is is not for the platform asked for. */
function checkRunnable(config: ImageConfigFile, { name, platform }: Wanted): void {
  if (config.os !== 'linux') {
    throw invalidArgument(`image operating system "${config.os}" cannot be used on this platform: operating system is not supported`);
  }
  const own = normalizePlatform(config);
  if (platform === undefined || platformRank(platform, own) !== undefined) return;
  throw notFound(
    `image with reference ${name} was found but does not match the specified platform: wanted ${formatPlatform(platform)}, actual: ${formatPlatform(own)}`,
  );
}

/** Says of a refusal what it means for this name. */
export async function explained<T>(reference: Reference, action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (err) {
    if (!(err instanceof RegistryError)) throw err;
    const options = { cause: err };
    if (err.code === 'DENIED') {
      throw notFound(
        `pull access denied for ${familiarName(reference)}, repository does not exist or may require 'docker login': ${err.message}`,
        options,
      );
    }
    if (err.code === 'MANIFEST_UNKNOWN') throw notFound(`manifest for ${familiarString(reference)} not found: ${err.message}`, options);
    if (err.code === 'NAME_UNKNOWN') throw notFound(`repository ${familiarName(reference)} not found: ${err.message}`, options);
    throw err;
  }
}
