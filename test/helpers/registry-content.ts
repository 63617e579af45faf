import { type Digest, sha256 } from '#oci/digest.ts';
import type { BerthRegistry } from './berth-registry.ts';

export const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text);
export const sha512 = (data: Uint8Array): string => `sha512:${new Bun.CryptoHasher('sha512').update(data).digest('hex')}`;

/** Bytes that are not in any other test. */
export const randomBytes = (length: number): Uint8Array => {
  const data = new Uint8Array(length);
  for (let at = 0; at < length; at += 65_536) crypto.getRandomValues(data.subarray(at, Math.min(at + 65_536, length)));
  return data;
};

export const ociManifestType = 'application/vnd.oci.image.manifest.v1+json';
export const ociIndexType = 'application/vnd.oci.image.index.v1+json';
export const dockerManifestType = 'application/vnd.docker.distribution.manifest.v2+json';
export const dockerListType = 'application/vnd.docker.distribution.manifest.list.v2+json';

export interface MadeManifest {
  readonly bytes: Uint8Array;
  readonly digest: Digest;
  readonly mediaType: string;
}

export interface ManifestParts {
  readonly config: Uint8Array;
  readonly layers: readonly Uint8Array[];
  readonly mediaType?: string;
  readonly extra?: Readonly<Record<string, unknown>>;
}

export function makeManifest({ config, layers, mediaType = ociManifestType, extra = {} }: ManifestParts): MadeManifest {
  const isDocker = mediaType === dockerManifestType;
  const describe = (data: Uint8Array, type: string): object => ({ mediaType: type, digest: sha256(data), size: data.length });
  return made(
    {
      schemaVersion: 2,
      mediaType,
      config: describe(config, isDocker ? 'application/vnd.docker.container.image.v1+json' : 'application/vnd.oci.image.config.v1+json'),
      layers: layers.map(layer =>
        describe(layer, isDocker ? 'application/vnd.docker.image.rootfs.diff.tar.gzip' : 'application/vnd.oci.image.layer.v1.tar+gzip'),
      ),
      ...extra,
    },
    mediaType,
  );
}

export const makeIndex = (manifests: readonly MadeManifest[], mediaType = ociIndexType): MadeManifest =>
  made(
    {
      schemaVersion: 2,
      mediaType,
      manifests: manifests.map(({ mediaType: type, digest, bytes }) => ({
        mediaType: type,
        digest,
        size: bytes.length,
        platform: { os: 'linux', architecture: 'amd64' },
      })),
    },
    mediaType,
  );

function made(value: unknown, mediaType: string): MadeManifest {
  const bytes = bytesOf(JSON.stringify(value));
  return { bytes, digest: sha256(bytes), mediaType };
}

/** Pushes a blob in one POST and one PUT; rejects when it was not taken. */
export async function pushBlob(registry: BerthRegistry, name: string, data: Uint8Array, digest: string = sha256(data)): Promise<void> {
  const begun = await registry.call('POST', `/v2/${name}/blobs/uploads/`);
  const location = begun.headers.get('location') ?? '';
  const done = await registry.call('PUT', `${location}?digest=${digest}`, { body: data, headers: octets });
  if (done.status !== 201) throw new Error(`pushing a blob answered ${String(done.status)}: ${new TextDecoder().decode(done.bytes)}`);
}

export const octets = { 'Content-Type': 'application/octet-stream' };

export async function pushManifest(registry: BerthRegistry, name: string, reference: string, manifest: MadeManifest): Promise<void> {
  const done = await registry.call('PUT', `/v2/${name}/manifests/${reference}`, {
    body: manifest.bytes,
    headers: { 'Content-Type': manifest.mediaType },
  });
  if (done.status !== 201) throw new Error(`pushing a manifest answered ${String(done.status)}: ${new TextDecoder().decode(done.bytes)}`);
}

/** Pushes an image with its blobs. */
export async function pushImage(
  registry: BerthRegistry,
  name: string,
  tag: string,
  parts: Partial<ManifestParts> = {},
): Promise<MadeManifest & { readonly config: Uint8Array; readonly layers: readonly Uint8Array[] }> {
  const config =
    parts.config ??
    bytesOf(JSON.stringify({ architecture: 'amd64', os: 'linux', rootfs: { type: 'layers', diff_ids: [] }, id: crypto.randomUUID() }));
  const layers = parts.layers ?? [randomBytes(1000)];
  for (const data of [config, ...layers]) await pushBlob(registry, name, data);
  const manifest = makeManifest({ ...parts, config, layers });
  await pushManifest(registry, name, tag, manifest);
  return { ...manifest, config, layers };
}
