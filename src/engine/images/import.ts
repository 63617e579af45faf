import { type ImageExecConfig, type ImageConfigFile } from '#oci/image-config.ts';
import type { Platform } from '#oci/platform.ts';
import { familiarString, type Reference } from '#oci/reference.ts';
import { addImage } from './add-image.ts';
import type { ImageContext } from './context.ts';
import { publishImageEvent } from './image-events.ts';
import type { ImageRecord, Report } from './model.ts';
import { progressMeter } from './progress.ts';
import { layerMediaTypes, readHead, storeLayer } from './store-layer.ts';

export interface ImportOptions {
  /** The name to give it; undefined: none. */
  readonly reference: Reference | undefined;
  /** Empty: where it is from. */
  readonly message: string;
  /** Dockerfile instructions that configure the image. */
  readonly changes: readonly string[];
  readonly platform: Platform | undefined;
}

export interface ImportSource {
  /** Where it is from, as it may be shown; `-`: it came with the request. */
  readonly name: string;
  readonly sizeBytes: number | undefined;
  readonly bytes: AsyncIterable<Uint8Array>;
}

const sniffBytes = 6;

/** Makes an image with one layer of a tar of a root file system, compressed or not. Rejects with InvalidArgument, DataLoss; nothing stays then. */
export async function importImage(
  context: ImageContext,
  source: ImportSource,
  options: ImportOptions,
  report: Report,
  signal: AbortSignal,
): Promise<ImageRecord> {
  const exec: ImageExecConfig = context.applyChanges({}, options.changes);
  await using lease = context.retention.lease();
  const meter = progressMeter(report);
  const comment = options.message === '' ? `Imported from ${source.name}` : options.message;
  const chunks = source.bytes[Symbol.asyncIterator]();
  const head = await readHead(chunks, sniffBytes);
  const total = source.sizeBytes === undefined ? {} : { total: source.sizeBytes };
  // Who sends it knows how far it is.
  const onBytes = (done: number): void => (source.name === '-' ? undefined : meter({ status: 'Importing', current: done, ...total }));
  const layer = await storeLayer(context, lease, { head, chunks, onBytes, signal });
  const pending = await layer.take();
  await using _dropUnlessCommitted = pending;
  if (pending === undefined) throw new TypeError('a layer that was just stored has an owner already');
  const platform = options.platform ?? context.platform;
  const created = new Date().toISOString();
  const config: ImageConfigFile = {
    architecture: platform.architecture,
    ...(platform.variant !== undefined && { variant: platform.variant }),
    os: platform.os,
    created,
    comment,
    config: exec,
    rootfs: { type: 'layers', diff_ids: [pending.unpacked.diffId] },
    history: [{ created, comment }],
  };
  const configBytes = new TextEncoder().encode(JSON.stringify(config));
  const { digest, sizeBytes: size } = layer.blob;
  const image = await addImage(
    context,
    lease,
    {
      configBytes,
      config,
      manifestBytes: undefined,
      layers: [{ mediaType: layerMediaTypes[layer.compression], digest, size }],
      names: options.reference === undefined ? [] : [options.reference],
    },
    { layer: () => Promise.resolve(pending) },
    signal,
  );
  if (options.reference !== undefined) await publishImageEvent(context, 'tag', image.id, { name: familiarString(options.reference) });
  await publishImageEvent(context, 'import', image.id);
  return image;
}
