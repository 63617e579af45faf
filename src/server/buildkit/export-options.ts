import { splitCsv } from '#base/csv.ts';
import { invalidArgument } from '#base/errors.ts';
import type { Attributes } from '#api/buildkit/messages.ts';
import type { Annotation } from '#builder/exporters/image-bundle.ts';
import type { LayerForm } from '#builder/ports.ts';
import { parseReference, type Reference, withDefaultTag } from '#oci/reference.ts';
import { isTrue } from './frontend-options.ts';

/** The attributes of exporters that make images. */
export interface ImageOptions {
  readonly names: readonly Reference[];
  readonly push: boolean;
  readonly isOci: boolean;
  readonly form: LayerForm;
  readonly annotations: readonly Annotation[];
}

/** Rejects with InvalidArgument for what cannot be. */
export function imageOptions(attributes: Attributes, defaults: { readonly isOci: boolean }): ImageOptions {
  const oci = attributes['oci-mediatypes'];
  return {
    names: namesOf(attributes.name ?? ''),
    push: isTrue(attributes.push ?? ''),
    // Docker's media types have no name for zstd.
    isOci: attributes.compression === 'zstd' || (oci === undefined ? defaults.isOci : isTrue(oci)),
    form: layerForm(attributes),
    annotations: annotationsOf(attributes),
  };
}

function namesOf(text: string): Reference[] {
  return (text === '' ? [] : splitCsv(text)).map(name => {
    const reference = parseReference(name);
    if (reference.digest !== undefined)
      throw invalidArgument(`invalid image name ${JSON.stringify(name)}: a name to be given cannot have a digest`);
    return withDefaultTag(reference);
  });
}

/** `compression`, `compression-level` and `force-compression`, of images and of caches. Rejects with InvalidArgument. */
export function layerForm(attributes: Attributes): LayerForm {
  const compression = compressionOf(attributes.compression ?? 'gzip');
  return {
    compression,
    level: levelOf(attributes['compression-level'], compression),
    isForced: isTrue(attributes['force-compression'] ?? ''),
  };
}

function compressionOf(text: string): LayerForm['compression'] {
  if (text === 'gzip' || text === 'zstd' || text === 'uncompressed') return text;
  const why = text === 'estargz' ? ': layers that are read lazily are of no use to a daemon that unpacks them' : '';
  throw invalidArgument(`unsupported layer compression ${JSON.stringify(text)}${why}; expected gzip, zstd or uncompressed`);
}

const levels = { gzip: [0, 9], zstd: [1, 22], uncompressed: [0, 0] } as const satisfies Record<
  LayerForm['compression'],
  readonly [number, number]
>;

function levelOf(text: string | undefined, compression: LayerForm['compression']): number | undefined {
  if (text === undefined || text === '' || compression === 'uncompressed') return undefined;
  const [least, most] = levels[compression];
  const level = Number(text);
  if (!/^\d+$/.test(text) || level < least || level > most)
    throw invalidArgument(
      `invalid compression-level ${JSON.stringify(text)}: ${compression} has levels from ${String(least)} to ${String(most)}`,
    );
  return level;
}

const pattern = /^annotation(?:-(manifest|manifest-descriptor|index|index-descriptor))?(?:\[([^\]]+)\])?\.(.+)$/;

function annotationsOf(attributes: Attributes): Annotation[] {
  return Object.entries(attributes).flatMap(([name, value]) => {
    const [, target = 'manifest', platform, key] = pattern.exec(name) ?? [];
    if (key === undefined) return [];
    return [{ target: target as Annotation['target'], platform, key, value }];
  });
}
