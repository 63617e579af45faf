import type { Logger } from '#base/log.ts';
import type { Decompress } from '#core/compression.ts';
import type { ContentStore } from '#core/content.ts';
import type { EventPublisher } from '#core/events.ts';
import type { RecordStore } from '#core/records.ts';
import type { Snapshotter } from '#core/snapshots.ts';
import type { Platform } from '#oci/platform.ts';
import type { ImageContext } from './context.ts';
import type { Filters } from './filters.ts';
import { ImageStore } from './image-store.ts';
import { type HistoryEntry, type ImageDetails, imageHistory, inspectImage } from './inspect.ts';
import { type ImageSummary, type ListOptions, listImages } from './list.ts';
import { type LoadOptions, loadImages } from './load.ts';
import type { ImageRecord, Report } from './model.ts';
import type { ImageUsers } from './ports.ts';
import { ImagePruner, type PruneReport } from './prune.ts';
import { type RemovedItem, type RemoveOptions, removeImage } from './remove.ts';
import { type ResolvedImage, resolveImage } from './resolve.ts';
import { Retention } from './retention.ts';
import { tagImage } from './tag.ts';

export interface ImageServiceOptions {
  readonly content: ContentStore;
  readonly snapshots: Snapshotter;
  readonly records: RecordStore;
  readonly events: EventPublisher;
  readonly users: ImageUsers;
  /** What this machine runs: `hostPlatform()`. */
  readonly platform: Platform;
  readonly decompress: Decompress;
  readonly log: Logger;
}

export interface ImageService {
  /** See `ImageResolver` of the containers. */
  resolve(nameOrId: string, platform: string | undefined): Promise<ResolvedImage>;
  /** The id of the image that a name or an id means now; undefined when there is none. Reads memory only. */
  idOf(nameOrId: string): string | undefined;
  /** Bytes of all layers of an image; undefined when there is none. Reads memory only. */
  sizeOf(imageId: string): number | undefined;
  list(options: ListOptions): Promise<ImageSummary[]>;
  inspect(nameOrId: string): Promise<ImageDetails>;
  history(nameOrId: string): Promise<HistoryEntry[]>;
  /** An empty tag means the one in `repo`, or `latest`. */
  tag(source: string, repo: string, tag: string): Promise<void>;
  remove(nameOrId: string, options: RemoveOptions): Promise<RemovedItem[]>;
  prune(filters: Filters, signal: AbortSignal): Promise<PruneReport>;
  load(source: AsyncIterable<Uint8Array>, options: LoadOptions, report: Report, signal: AbortSignal): Promise<ImageRecord[]>;
  /** How many images there are. */
  count(): number;
  /** Removes what a killed daemon left half done, and layers that only removed containers stood on. Returns what it did, in words. */
  recover(): Promise<string[]>;
}

export function createImageService(options: ImageServiceOptions): ImageService {
  const { records, ...rest } = options;
  const store = new ImageStore(records, options.content);
  const retention = new Retention(options.content, options.snapshots, store, options.log);
  const context: ImageContext = { ...rest, store, retention };
  const pruner = new ImagePruner(context);
  return {
    resolve: (nameOrId, platform) => resolveImage(context, nameOrId, platform),
    idOf: nameOrId => store.lookUp(nameOrId)?.id,
    sizeOf: imageId => store.lookUp(imageId)?.sizeBytes,
    list: list => listImages(context, list),
    inspect: nameOrId => inspectImage(context, nameOrId),
    history: nameOrId => imageHistory(context, nameOrId),
    tag: (source, repo, tag) => tagImage(context, source, repo, tag),
    remove: (nameOrId, remove) => removeImage(context, nameOrId, remove),
    prune: (filters, signal) => pruner.prune(filters, signal),
    load: (source, load, report, signal) => loadImages(context, source, load, report, signal),
    count: () => store.all().length,
    async recover() {
      const { blobs, freedBytes } = await retention.sweep();
      return blobs === 0 && freedBytes === 0 ? [] : [`removed ${blobs} blobs and layers of unfinished work, ${freedBytes} bytes`];
    },
  };
}
