import { invalidArgument } from '#base/errors.ts';
import { parseTimestamp } from '#base/timestamp.ts';
import type { Digest } from '#oci/digest.ts';
import type { ImageConfigFile } from '#oci/image-config.ts';
import type { Descriptor } from '#oci/manifest.ts';
import { familiarString } from '#oci/reference.ts';
import type { ImageContext } from './context.ts';
import { checkFilters, createdAt, type Filters, matchesLabels, matchesReference, parseBoolean } from './filters.ts';
import { imageDiskUsage } from './disk-usage.ts';
import type { ImageRecord } from './model.ts';
import { type ManifestSummary, summarizeManifests, targetOf } from './platforms.ts';

export interface ImageSummary {
  readonly id: string;
  readonly parentId: string;
  readonly repoTags: readonly string[];
  readonly repoDigests: readonly string[];
  readonly created: Date;
  readonly sizeBytes: number;
  /** Bytes of the layers that other images have as well; undefined when it was not asked for. */
  readonly sharedSizeBytes: number | undefined;
  readonly labels: Readonly<Record<string, string>> | null;
  /** Containers made from it, running or not. */
  readonly containers: number;
  /** Only when they were asked for. */
  readonly target?: Descriptor | undefined;
  readonly manifests?: readonly ManifestSummary[];
}

export interface ListOptions {
  /** Intermediate images of a build too. */
  readonly all: boolean;
  readonly filters: Filters;
  readonly sharedSize: boolean;
  /** Sizes are what images take on the disk, not what their files hold. */
  readonly onDisk?: boolean;
  /** With the platforms of each. */
  readonly manifests: boolean;
}

const filterNames = ['before', 'dangling', 'label', 'label!', 'reference', 'since', 'until'];

/** Newest first. Rejects with InvalidArgument for unknown filters and bad values, NotFound for an unknown image in `before` and `since`. */
export async function listImages(context: ImageContext, options: ListOptions): Promise<ImageSummary[]> {
  const { filters } = options;
  checkFilters(filters, filterNames);
  const dangling = onlyValue(filters, 'dangling', parseBoolean);
  const before = await datesOf(context, filters.before);
  const since = await datesOf(context, filters.since);
  const until = (filters.until ?? []).map(value => new Date(parseTimestamp(value, Date.now())));
  const parents = new Set(context.store.all().map(image => image.parent));
  const users = options.sharedSize ? countLayerUsers(context.store.all()) : undefined;
  const disk = options.onDisk === true ? await imageDiskUsage(context) : undefined;
  const summaries: ImageSummary[] = [];
  for (const image of context.store.all()) {
    const config = await context.store.config(image.id);
    const created = createdAt(config);
    const refs = context.store.references(image.id);
    const isMember = refs.length === 0 && context.store.isMember(image);
    const isDangling = !isMember && refs.every(ref => ref.tag === undefined);
    if ([...before, ...until].some(date => created >= date) || since.some(date => created <= date)) continue;
    if (dangling !== undefined && dangling !== (isDangling && !parents.has(image.id))) continue;
    if (!options.all && refs.length === 0 && (isMember || parents.has(image.id))) continue;
    if (!matchesLabels(filters, config.config?.Labels ?? {})) continue;
    const patterns = filters.reference ?? [];
    const shown = patterns.length === 0 ? refs : refs.filter(ref => patterns.some(pattern => matchesReference(pattern, ref)));
    if (patterns.length > 0 && shown.length === 0) continue;
    const index = options.manifests ? context.store.indexFor(image.id) : undefined;
    const manifests = options.manifests ? await summarizeManifests(context, image, index) : undefined;
    summaries.push({
      ...(manifests !== undefined && { target: await targetOf(context, image, index), manifests }),
      id: image.id,
      parentId: image.parent ?? '',
      repoTags: shown.filter(ref => ref.tag !== undefined).map(familiarString),
      repoDigests: shown.filter(ref => ref.digest !== undefined).map(familiarString),
      created,
      sizeBytes: disk?.of(image).totalBytes ?? (manifests === undefined ? image.sizeBytes : sizeOfAll(manifests)),
      sharedSizeBytes: users === undefined ? undefined : (disk?.of(image).sharedBytes ?? sharedBytes(context, image, users)),
      labels: labelsOf(config),
      containers: context.users.usedBy(image.id).length,
    });
  }
  return summaries.sort((a, b) => b.created.getTime() - a.created.getTime());
}

/** Of the platforms that are here, with their blobs: who asks for them adds up what each takes. */
const sizeOfAll = (manifests: readonly ManifestSummary[]): number =>
  manifests.reduce(
    (bytes, { isAvailable, contentBytes, image }) => bytes + (isAvailable ? contentBytes + (image?.record.sizeBytes ?? 0) : 0),
    0,
  );

const labelsOf = (config: ImageConfigFile): Readonly<Record<string, string>> | null => config.config?.Labels ?? null;

function onlyValue<T>(filters: Filters, name: string, parse: (value: string) => T): T | undefined {
  const values = filters[name] ?? [];
  if (values.length > 1) throw invalidArgument(`invalid filter '${name}': it takes one value, not ${values.length}`);
  return values[0] === undefined ? undefined : parse(values[0]);
}

/** When these images were made. Rejects with NotFound. */
async function datesOf(context: ImageContext, names: readonly string[] = []): Promise<Date[]> {
  const images = names.map(name => context.store.find(name));
  return await Promise.all(images.map(async ({ id }) => createdAt(await context.store.config(id))));
}

function countLayerUsers(images: readonly ImageRecord[]): Map<Digest, number> {
  const users = new Map<Digest, number>();
  for (const image of images) {
    for (const chainId of new Set(image.layers.map(layer => layer.chainId))) users.set(chainId, (users.get(chainId) ?? 0) + 1);
  }
  return users;
}

const sharedBytes = (context: ImageContext, image: ImageRecord, users: ReadonlyMap<Digest, number>): number =>
  image.layers
    .filter(layer => (users.get(layer.chainId) ?? 0) > 1)
    .reduce((sum, layer) => sum + (context.snapshots.layerSize(layer.chainId) ?? 0), 0);
