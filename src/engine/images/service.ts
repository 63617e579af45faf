import { KeyedLock } from '#base/keyed-lock.ts';
import type { Logger } from '#base/log.ts';
import { Semaphore } from '#base/semaphore.ts';
import type { Compress, Decompress } from '#core/compression.ts';
import type { ContentStore } from '#core/content.ts';
import type { EventPublisher } from '#core/events.ts';
import type { RecordStore } from '#core/records.ts';
import type { FoundRepository, RegistryAuth, RegistryClient } from '#core/registry.ts';
import type { ChainId, Snapshotter } from '#core/snapshots.ts';
import type { Digest } from '#oci/digest.ts';
import type { Platform } from '#oci/platform.ts';
import type { Reference } from '#oci/reference.ts';
import { type AttestationOptions, type AttestationStatement, imageAttestations } from './attestations.ts';
import { BlobSources } from './blob-sources.ts';
import { commitImage, type CommitRequest } from './commit.ts';
import type { RegistryContext } from './context.ts';
import type { Filters } from './filters.ts';
import { unfinishedLifetimeMs } from './fetch-layer.ts';
import { imageDiskUsage } from './disk-usage.ts';
import { DiskBudget, type DiskBudgetOptions } from './disk-budget.ts';
import { ImageStore } from './image-store.ts';
import { ImageUses } from './image-uses.ts';
import { type HistoryEntry, type ImageDetails, imageHistory, inspectImage, type InspectOptions } from './inspect.ts';
import { type ImportOptions, importImage } from './import.ts';
import { inspectRemote, type RemoteImage } from './inspect-remote.ts';
import { LayerFlights } from './layer-flights.ts';
import { type ImageSummary, type ListOptions, listImages } from './list.ts';
import { type LoadOptions, loadImages } from './load.ts';
import type { ImageRecord, Report } from './model.ts';
import type { ApplyChanges, ContentUser, ImageUsers, Reclaimable } from './ports.ts';
import { ImagePruner, type PruneReport } from './prune.ts';
import { type PullOptions, pullImages } from './pull.ts';
import { type PushOptions, pushImages } from './push.ts';
import type { RemovedItem } from './delete-image.ts';
import { type RemoveOptions, removeImage } from './remove.ts';
import { type ResolvedImage, resolveImage } from './resolve.ts';
import { Retention } from './retention.ts';
import { boundlessRoom, type Room } from './room.ts';
import { saveImages } from './save.ts';
import { type ImageWorkspace, openWorkspace } from './workspace.ts';
import { type SearchOptions, searchRegistry } from './search.ts';
import { tagImage } from './tag.ts';
import { StoreVerifier } from './verify.ts';
import type { VerifyOptions, VerifyReport } from './verify-report.ts';

export interface ImageServiceOptions {
  readonly content: ContentStore;
  readonly snapshots: Snapshotter;
  readonly records: RecordStore;
  readonly events: EventPublisher;
  readonly users: ImageUsers;
  /** Who else needs blobs and layers; undefined: nobody. */
  readonly contentUsers?: readonly ContentUser[];
  readonly applyChanges: ApplyChanges;
  /** What may be collected; undefined: nothing is. */
  readonly budget?: () => DiskBudgetOptions;
  /** Caches that the disk budget is for as well. */
  readonly caches?: () => readonly Reclaimable[];
  /** What this machine runs: `hostPlatform()`. */
  readonly platform: Platform;
  readonly registry: RegistryClient;
  readonly decompress: Decompress;
  readonly compress: Compress;
  /** What is behind an address, for imports; `name` is the address without what lets somebody in. */
  readonly openUrl: (
    url: string,
    signal: AbortSignal,
  ) => Promise<{ readonly name: string; readonly sizeBytes: number | undefined; readonly bytes: AsyncIterable<Uint8Array> }>;
  /** How many layers are downloaded, and uploaded, at the same time. */
  readonly maxDownloads?: number;
  readonly maxUploads?: number;
  readonly log: Logger;
}

export interface ImageService {
  /** See `ImageResolver` of the containers. */
  resolve(nameOrId: string, platform: string | undefined): Promise<ResolvedImage>;
  /** The id of the image that a name or an id means now; undefined when there is none. Reads memory only. */
  idOf(nameOrId: string): string | undefined;
  /** Bytes of all layers of an image; undefined when there is none. Reads memory only. */
  sizeOf(imageId: string): number | undefined;
  /** See `ImageResolver` of the containers. */
  commit(
    request: CommitRequest,
    layer: AsyncIterable<Uint8Array>,
    signal: AbortSignal,
  ): Promise<{ readonly id: string; readonly name: string }>;
  /** Says that a writable layer on this image is gone: what a removed image had left only for it goes as well. */
  released(imageId: string): Promise<void>;
  list(options: ListOptions): Promise<ImageSummary[]>;
  inspect(nameOrId: string, options?: InspectOptions): Promise<ImageDetails>;
  history(nameOrId: string, platform?: Platform): Promise<HistoryEntry[]>;
  /** What is attested of an image, as it was published with it. */
  attestations(nameOrId: string, options: AttestationOptions): Promise<AttestationStatement[]>;
  /** An empty tag means the one in `repo`, or `latest`. */
  tag(source: string, repo: string, tag: string): Promise<void>;
  remove(nameOrId: string, options: RemoveOptions): Promise<RemovedItem[]>;
  prune(filters: Filters, signal: AbortSignal): Promise<PruneReport>;
  load(source: AsyncIterable<Uint8Array>, options: LoadOptions, report: Report, signal: AbortSignal): Promise<ImageRecord[]>;
  /** The archive's bytes; see `saveImages`. */
  save(names: readonly string[], platforms: readonly Platform[], signal: AbortSignal): Promise<AsyncGenerator<Uint8Array, void, undefined>>;
  /** From an archive, or from an address that has one; without `http://` before it that is meant. */
  import(source: AsyncIterable<Uint8Array> | string, options: ImportOptions, report: Report, signal: AbortSignal): Promise<ImageRecord>;
  pull(options: PullOptions, report: Report, signal: AbortSignal): Promise<void>;
  push(options: PushOptions, report: Report, signal: AbortSignal): Promise<void>;
  inspectRemote(reference: Reference, auth: RegistryAuth | undefined, signal: AbortSignal): Promise<RemoteImage>;
  search(options: SearchOptions, signal: AbortSignal): Promise<FoundRepository[]>;
  /** Checks credentials with their registry. Rejects with Unauthenticated. */
  login(auth: RegistryAuth, signal: AbortSignal): Promise<{ readonly identityToken: string }>;
  /** Looks for damage in everything that is stored, and heals it where it can. Rejects with Conflict while another one runs. */
  verify(options: VerifyOptions, report: Report, signal: AbortSignal): Promise<VerifyReport>;
  /** Bytes that images take on the disk, each thing counted once. */
  diskUsage(): Promise<number>;
  /** Whether an image has this layer. Reads memory only. */
  hasLayer(chain: ChainId): boolean;
  /** What a build needs of images; it holds on to everything until it is disposed. */
  workspace(): ImageWorkspace;
  /** Removes what nobody needs any more of these. Returns the bytes that became free. */
  release(blobs: ReadonlySet<Digest>, chains: ReadonlySet<ChainId>): Promise<number>;
  /** How many images there are. */
  count(): number;
  /** Removes what a killed daemon left half done, and layers that only removed containers stood on. Returns what it did, in words. */
  recover(): Promise<string[]>;
  /** Resolves when nothing is being collected any more. */
  close(): Promise<void>;
}

export function createImageService(options: ImageServiceOptions): ImageService {
  const { records, maxDownloads = 3, maxUploads = 5, contentUsers = [], openUrl, budget: limits, caches = () => [], ...rest } = options;
  const store = new ImageStore(records, options.content);
  const retention = new Retention(options.content, options.snapshots, store, contentUsers, options.log);
  const context: RegistryContext = {
    ...rest,
    contentUsers,
    store,
    retention,
    sources: new BlobSources(records),
    uses: new ImageUses(records),
    downloads: new Semaphore(maxDownloads),
    uploads: new Semaphore(maxUploads),
    flights: new LayerFlights(),
    blobLocks: new KeyedLock(),
    get room(): Room {
      return budget ?? boundlessRoom;
    },
  };
  const pruner = new ImagePruner(context);
  const verifier = new StoreVerifier(context);
  const budget = limits && new DiskBudget(context, limits, caches);
  /** Work that may have added something. */
  const adding = async <T>(work: PromiseLike<T>): Promise<T> => {
    try {
      return await work;
    } finally {
      budget?.check();
    }
  };
  return {
    resolve: (nameOrId, platform) => resolveImage(context, nameOrId, platform),
    idOf: nameOrId => store.lookUp(nameOrId)?.id,
    sizeOf: imageId => store.lookUp(imageId)?.sizeBytes,
    async released(imageId) {
      const image = store.lookUp(imageId);
      if (image === undefined) return await retention.collectLayers();
      // It was in use until now.
      context.uses.note(image.id, 'used');
      budget?.check();
    },
    commit: (request, layer, signal) => adding(commitImage(context, request, layer, signal)),
    list: list => listImages(context, list),
    inspect: (nameOrId, inspect) => inspectImage(context, nameOrId, inspect),
    history: (nameOrId, platform) => imageHistory(context, nameOrId, platform),
    attestations: (nameOrId, attestations) => imageAttestations(context, nameOrId, attestations),
    tag: (source, repo, tag) => tagImage(context, source, repo, tag),
    remove: (nameOrId, remove) => removeImage(context, nameOrId, remove),
    prune: (filters, signal) => pruner.prune(filters, signal),
    load: (source, load, report, signal) => adding(loadImages(context, source, load, report, signal)),
    save: (names, platforms, signal) => saveImages(context, names, platforms, signal),
    async import(source, importOptions, report, signal) {
      if (typeof source !== 'string') {
        return await adding(importImage(context, { name: '-', sizeBytes: undefined, bytes: source }, importOptions, report, signal));
      }
      const file = await openUrl(source.includes('://') ? source : `http://${source}`, signal);
      report({ status: `Downloading from ${file.name}` });
      return await adding(importImage(context, file, importOptions, report, signal));
    },
    pull: (pull, report, signal) => adding(pullImages(context, pull, report, signal)),
    push: (push, report, signal) => pushImages(context, push, report, signal),
    inspectRemote: (reference, auth, signal) => inspectRemote(context, reference, auth, signal),
    search: (search, signal) => searchRegistry(options.registry, search, signal),
    login: (auth, signal) => options.registry.login(auth, signal),
    verify: (verify, report, signal) => verifier.verify(verify, report, signal),
    diskUsage: async () => (await imageDiskUsage(context)).totalBytes,
    hasLayer: chain => store.all().some(image => image.layers.some(layer => layer.chainId === chain)),
    workspace() {
      const workspace = openWorkspace(context);
      return { ...workspace, [Symbol.asyncDispose]: () => adding(workspace[Symbol.asyncDispose]()) };
    },
    release: (blobs, chains) => retention.release(blobs, chains),
    count: () => store.all().length,
    async recover() {
      context.sources.keepOnly(new Set(store.all().flatMap(image => image.layers.map(layer => layer.diffId))));
      await options.content.removeUnfinished(unfinishedLifetimeMs);
      context.uses.keepOnly(new Set(store.all().map(image => image.id)));
      const { blobs, freedBytes } = await retention.sweep();
      budget?.check();
      return blobs === 0 && freedBytes === 0 ? [] : [`removed ${blobs} blobs and layers of unfinished work, ${freedBytes} bytes`];
    },
    async close() {
      budget?.[Symbol.dispose]();
      await budget?.settled();
    },
  };
}
