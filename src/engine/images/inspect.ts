import type { ImageConfigFile, ImageHistory } from '#oci/image-config.ts';
import type { Digest } from '#oci/digest.ts';
import type { Descriptor } from '#oci/manifest.ts';
import type { Platform } from '#oci/platform.ts';
import { familiarString } from '#oci/reference.ts';
import type { ImageContext } from './context.ts';
import { createdAt } from './filters.ts';
import type { ImageRecord } from './model.ts';
import { type ManifestSummary, selectPlatform, summarizeManifests, targetOf } from './platforms.ts';

export interface ImageDetails {
  readonly id: Digest;
  readonly repoTags: readonly string[];
  readonly repoDigests: readonly string[];
  readonly parentId: string;
  readonly config: ImageConfigFile;
  readonly sizeBytes: number;
  readonly lastTaggedAt: string | undefined;
  /** Name of what keeps its layers, and where they are, uppermost first. */
  readonly driver: string;
  readonly layerDirs: readonly string[];
  readonly target: Descriptor | undefined;
  /** Only when they were asked for. */
  readonly manifests: readonly ManifestSummary[] | undefined;
}

export interface InspectOptions {
  /** Of a name that has several; undefined: the one that it stands for. */
  readonly platform?: Platform | undefined;
  readonly manifests?: boolean;
}

/** Everything that is known of an image. Rejects with NotFound. */
export async function inspectImage(context: ImageContext, nameOrId: string, options: InspectOptions = {}): Promise<ImageDetails> {
  const image = await selectPlatform(context, nameOrId, options.platform);
  const index = context.store.indexFor(nameOrId);
  // The names are the index's: whichever platform was chosen, it goes by them.
  const refs = context.store.references(options.platform === undefined ? image.id : context.store.find(nameOrId).id);
  const top = image.layers.at(-1);
  return {
    id: image.id,
    repoTags: refs.filter(ref => ref.tag !== undefined).map(familiarString),
    repoDigests: refs.filter(ref => ref.digest !== undefined).map(familiarString),
    parentId: image.parent ?? '',
    config: await context.store.config(image.id),
    sizeBytes: image.sizeBytes,
    lastTaggedAt: image.lastTaggedAt,
    driver: context.snapshots.name,
    target: await targetOf(context, image, options.platform === undefined ? index : undefined),
    manifests: options.manifests === true ? await summarizeManifests(context, image, index) : undefined,
    layerDirs: top === undefined ? [] : context.snapshots.layerDirs(top.chainId),
  };
}

export interface HistoryEntry {
  /** The id of the image that this step made, where it is here; else `<missing>`. */
  readonly id: string;
  readonly created: Date;
  readonly createdBy: string;
  readonly tags: readonly string[] | null;
  readonly sizeBytes: number;
  readonly comment: string;
}

/** How an image came about, newest first. Rejects with NotFound. */
export async function imageHistory(context: ImageContext, nameOrId: string, platform?: Platform): Promise<HistoryEntry[]> {
  const image = await selectPlatform(context, nameOrId, platform);
  const config = await context.store.config(image.id);
  const entries = withLayerSizes(context, image, config.history ?? []).reverse();
  const known = await imagesBelow(context, image, entries.length);
  return entries.map(({ step, sizeBytes }, index) => {
    const here = known.get(index);
    return {
      id: here?.id ?? '<missing>',
      created: createdAt({ ...config, created: step.created ?? '' }),
      createdBy: step.created_by ?? '',
      tags: here === undefined ? null : tagsOf(context, here),
      sizeBytes,
      comment: step.comment ?? '',
    };
  });
}

function tagsOf(context: ImageContext, { id }: ImageRecord): string[] | null {
  const tags = context.store.references(id).filter(ref => ref.tag !== undefined);
  return tags.length === 0 ? null : tags.map(familiarString);
}

/** By its place in the history, newest first: the image, and those here that it was made from. */
async function imagesBelow(context: ImageContext, image: ImageRecord, steps: number): Promise<Map<number, ImageRecord>> {
  const known = new Map([[0, image]]);
  for (let at = image.parent; at !== undefined; ) {
    const parent = context.store.get(at);
    if (parent === undefined) break;
    const { history = [] } = await context.store.config(parent.id);
    known.set(steps - withLayerSizes(context, parent, history).length, parent);
    at = parent.parent;
  }
  return known;
}

/** Layers belong to the steps that are not marked empty, in order; layers that no step names come as steps of their own. */
function withLayerSizes(
  context: ImageContext,
  image: ImageRecord,
  history: readonly ImageHistory[],
): { readonly step: ImageHistory; readonly sizeBytes: number }[] {
  const sizes = image.layers.map(layer => context.snapshots.layerSize(layer.chainId) ?? 0);
  const steps = history.map(step => ({ step, sizeBytes: step.empty_layer === true ? 0 : (sizes.shift() ?? 0) }));
  return [...steps, ...sizes.map(sizeBytes => ({ step: {}, sizeBytes }))];
}
