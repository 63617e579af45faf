import { dataLoss, kindOf, notFound } from '#base/errors.ts';
import type { Digest } from '#oci/digest.ts';
import { type Descriptor, isImageEntry, parseManifest, selectManifest } from '#oci/manifest.ts';
import { formatPlatform, type Platform } from '#oci/platform.ts';
import type { ImageContext } from './context.ts';
import type { IndexRecord } from './model.ts';

export interface AttestationOptions {
  /** Of an image for several; undefined: what this machine runs, or the image that an id names. */
  readonly platform: Platform | undefined;
  /** Predicate types to tell of (`https://slsa.dev/provenance/v0.2`); empty: all. */
  readonly types: readonly string[];
  /** With what they say. */
  readonly withStatements: boolean;
}

/** Something that is stated of an image, in the form of in-toto. */
export interface AttestationStatement {
  readonly descriptor: Descriptor;
  readonly predicateType: string;
  /** The JSON as it was published; undefined when it was not asked for. */
  readonly statement: string | undefined;
}

const predicateTypeKey = 'in-toto.io/predicate-type';

/**
 * What is attested of an image, as it came with its index; none for an image that came without one. Rejects with NotFound when the index has no image for
 * the platform, or when a part of what is asked for is not here.
 */
export async function imageAttestations(
  context: ImageContext,
  nameOrId: string,
  { platform, types, withStatements }: AttestationOptions,
): Promise<AttestationStatement[]> {
  const image = context.store.find(nameOrId);
  const index = context.store.indexFor(nameOrId) ?? context.store.indexWith(image);
  if (index === undefined) return [];
  const isTheImage = platform === undefined && context.store.isId(image, nameOrId);
  const subject = isTheImage ? image.manifest : imageFor(index, platform ?? context.platform, nameOrId);
  const found: AttestationStatement[] = [];
  for (const entry of index.entries) {
    if (!isAbout(entry, subject)) continue;
    const manifest = parseManifest(await read(context, entry.digest, 'manifest'), entry.mediaType);
    for (const descriptor of manifest.kind === 'manifest' ? manifest.layers : []) {
      const predicateType = descriptor.annotations?.[predicateTypeKey] ?? '';
      if (predicateType === '' || (types.length > 0 && !types.includes(predicateType))) continue;
      const statement = withStatements ? textOf(await read(context, descriptor.digest, 'statement'), descriptor.digest) : undefined;
      found.push({ descriptor, predicateType, statement });
    }
  }
  return found;
}

/** The digest of the manifest that runs best on a platform. */
function imageFor({ mediaType, entries }: IndexRecord, wanted: Platform, name: string): Digest {
  const entry = selectManifest({ kind: 'index', mediaType, manifests: entries }, wanted);
  if (entry !== undefined) return entry.digest;
  const others = entries.filter(isImageEntry).flatMap(other => (other.platform === undefined ? [] : [formatPlatform(other.platform)]));
  throw notFound(`no image manifest for platform ${formatPlatform(wanted)} in the index of ${name}: it is for ${others.join(', ')}`);
}

/** Whether an entry of an index is what is attested of a manifest. */
const isAbout = ({ annotations }: Descriptor, subject: Digest): boolean =>
  annotations?.['vnd.docker.reference.type'] === 'attestation-manifest' && annotations['vnd.docker.reference.digest'] === subject;

async function read(context: ImageContext, digest: Digest, what: 'manifest' | 'statement'): Promise<Uint8Array> {
  try {
    return await context.content.read(digest);
  } catch (cause) {
    if (kindOf(cause) !== 'NotFound') throw cause;
    throw notFound(`attestation ${what} ${digest} is not available locally: pull the image again, for this platform`, { cause });
  }
}

function textOf(bytes: Uint8Array, digest: Digest): string {
  const text = new TextDecoder().decode(bytes);
  try {
    JSON.parse(text);
  } catch (cause) {
    throw dataLoss(`attestation statement ${digest} is not JSON`, { cause });
  }
  return text;
}
