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
    isOci: oci === undefined ? defaults.isOci : isTrue(oci),
    form: { compression: compressionOf(attributes.compression ?? 'gzip'), isForced: isTrue(attributes['force-compression'] ?? '') },
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

function compressionOf(text: string): LayerForm['compression'] {
  if (text === 'gzip' || text === 'uncompressed') return text;
  throw invalidArgument(`unsupported layer compression ${JSON.stringify(text)}: expected gzip or uncompressed`);
}

const pattern = /^annotation(?:-(manifest|manifest-descriptor|index|index-descriptor))?(?:\[([^\]]+)\])?\.(.+)$/;

function annotationsOf(attributes: Attributes): Annotation[] {
  return Object.entries(attributes).flatMap(([name, value]) => {
    const [, target = 'manifest', platform, key] = pattern.exec(name) ?? [];
    if (key === undefined) return [];
    return [{ target: target as Annotation['target'], platform, key, value }];
  });
}
