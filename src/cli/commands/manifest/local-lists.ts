import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Digest } from '#oci/digest.ts';
import { type ImageManifest, mediaTypes, parseManifest } from '#oci/manifest.ts';
import { canonicalString, type Reference } from '#oci/reference.ts';
import type { Cli } from '../../cli.ts';
import { ExitError } from '../../errors.ts';

/** One image of a list, as it is kept: the command line of Docker reads and writes the same files. */
export interface ListedImage {
  /** `docker.io/library/busybox:1.36` */
  readonly Ref: string;
  readonly Descriptor: {
    readonly mediaType: string;
    readonly digest: Digest;
    readonly size: number;
    readonly platform?: ListedPlatform;
  };
  /** The manifest in base64. */
  readonly Raw: string;
  readonly SchemaV2Manifest?: unknown;
  readonly OCIManifest?: unknown;
}

export interface ListedPlatform {
  readonly architecture: string;
  readonly os: string;
  readonly 'os.version'?: string;
  readonly 'os.features'?: readonly string[];
  readonly variant?: string;
}

/** With its parts in the order that Docker writes them in: the digest of a list depends on it. */
export const inOrder = ({ architecture, os, variant, ...rest }: ListedPlatform): ListedPlatform => ({
  architecture,
  os,
  ...(rest['os.version'] !== undefined && { 'os.version': rest['os.version'] }),
  ...(rest['os.features'] !== undefined && { 'os.features': rest['os.features'] }),
  ...(variant !== undefined && { variant }),
});

/** Lists that are being put together, in `~/.docker/manifests/<list>/<image>`. */
export class LocalLists {
  readonly #root: string;

  private constructor(root: string) {
    this.#root = root;
  }

  static async open(cli: Cli): Promise<LocalLists> {
    return new LocalLists(join((await cli.config()).directory, 'manifests'));
  }

  has(list: Reference): boolean {
    return existsSync(this.#folder(list));
  }

  /** Rejects when there is no such list. */
  images(list: Reference): ListedImage[] {
    if (!this.has(list)) throw new ExitError(1, `No such manifest: ${canonicalString(list)}`);
    return readdirSync(this.#folder(list))
      .toSorted()
      .map(name => JSON.parse(readFileSync(join(this.#folder(list), name), 'utf8')) as ListedImage);
  }

  image(list: Reference, image: Reference): ListedImage | undefined {
    const path = join(this.#folder(list), fileName(image));
    return existsSync(path) ? (JSON.parse(readFileSync(path, 'utf8')) as ListedImage) : undefined;
  }

  save(list: Reference, image: Reference, value: ListedImage): void {
    mkdirSync(this.#folder(list), { recursive: true, mode: 0o755 });
    writeFileSync(join(this.#folder(list), fileName(image)), JSON.stringify(value), { mode: 0o644 });
  }

  remove(list: Reference): void {
    rmSync(this.#folder(list), { recursive: true, force: true });
  }

  #folder(list: Reference): string {
    return join(this.#root, fileName(list));
  }
}

const fileName = (ref: Reference): string => canonicalString(ref).replaceAll(':', '-').replaceAll('/', '_');

/** An image as a list keeps it. */
export function listedImage(
  ref: Reference,
  content: { bytes: Uint8Array; digest: Digest },
  platform: ListedPlatform | undefined,
): ListedImage {
  const { mediaType } = parseManifest(content.bytes);
  const parsed: unknown = JSON.parse(new TextDecoder().decode(content.bytes));
  return {
    Ref: canonicalString(ref),
    Descriptor: {
      mediaType,
      digest: content.digest,
      size: content.bytes.length,
      ...(platform !== undefined && { platform: inOrder(platform) }),
    },
    Raw: Buffer.from(content.bytes).toString('base64'),
    ...(mediaType === mediaTypes.ociManifest ? { OCIManifest: parsed } : { SchemaV2Manifest: parsed }),
  };
}

export const manifestOf = (image: ListedImage): ImageManifest => {
  const parsed = parseManifest(Buffer.from(image.Raw, 'base64'), image.Descriptor.mediaType);
  if (parsed.kind !== 'manifest') throw new ExitError(1, `${image.Ref} is a manifest list`);
  return parsed;
};

/** The list as it is pushed, indented as Docker's is. An OCI index when its first image is one of OCI's. */
export function listBytes(images: readonly ListedImage[]): { readonly bytes: Uint8Array; readonly mediaType: string } {
  for (const { Ref, Descriptor } of images) {
    if ((Descriptor.platform?.os ?? '') === '' || (Descriptor.platform?.architecture ?? '') === '') {
      throw new ExitError(1, `manifest ${Ref} must have an OS and Architecture to be pushed to a registry`);
    }
  }
  const mediaType = images[0]?.Descriptor.mediaType === mediaTypes.ociManifest ? mediaTypes.ociIndex : mediaTypes.dockerIndex;
  const manifests = images.map(({ Descriptor: { mediaType: type, size, digest, platform } }) => ({
    mediaType: type,
    size,
    digest,
    platform,
  }));
  return { bytes: new TextEncoder().encode(JSON.stringify({ schemaVersion: 2, mediaType, manifests }, undefined, 3)), mediaType };
}
