import { notFound } from '#base/errors.ts';
import { type RegistryClient, RegistryError, type RegistryRepository } from '#core/registry.ts';
import { type Digest, sha256 } from '#oci/digest.ts';
import { parseManifest } from '#oci/manifest.ts';
import type { MadeImage } from './make-image.ts';

export interface FakeRegistry extends RegistryClient {
  /** Blobs that were read, in order of the first byte. */
  readonly reads: string[];
  readonly blobs: Map<string, Uint8Array>;
  /** By `domain/path:tag` and `domain/path@digest`. */
  readonly manifests: Map<string, Uint8Array>;
  /** Waits before a blob's bytes flow. */
  gate: ((digest: Digest, signal: AbortSignal) => Promise<void>) | undefined;
  /** Told before each piece of a blob. */
  pace: ((digest: Digest, offset: number) => void) | undefined;
  /** By digest: the byte that the latest reading began with. */
  readonly starts: Map<string, number>;
  /** Puts an image there; returns its manifest. */
  add(name: string, image: MadeImage): Uint8Array;
}

const json = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value));

/** A registry in memory, without HTTP. */
export function fakeRegistry(): FakeRegistry {
  const blobs = new Map<string, Uint8Array>();
  const manifests = new Map<string, Uint8Array>();
  const reads: string[] = [];
  const registry: FakeRegistry = {
    blobs,
    manifests,
    reads,
    gate: undefined,
    pace: undefined,
    starts: new Map(),
    add(name, image) {
      const describe = (data: Uint8Array, mediaType: string): object => {
        blobs.set(sha256(data), data);
        return { mediaType, digest: sha256(data), size: data.length };
      };
      const manifest = json({
        schemaVersion: 2,
        mediaType: 'application/vnd.oci.image.manifest.v1+json',
        config: describe(image.config, 'application/vnd.oci.image.config.v1+json'),
        layers: image.layers.map(layer => describe(layer, 'application/vnd.oci.image.layer.v1.tar+gzip')),
      });
      manifests.set(name, manifest);
      manifests.set(`${name.replace(/:[^:/]*$/, '')}@${sha256(manifest)}`, manifest);
      return manifest;
    },
    login: () => Promise.resolve({ identityToken: '' }),
    search: () => Promise.resolve([]),
    repository: name => repositoryOf(`${name.domain}/${name.path}`),
  };

  const repositoryOf = (name: string): RegistryRepository => ({
    manifest(tagOrDigest) {
      const bytes = manifests.get(tagOrDigest.includes(':') ? `${name}@${tagOrDigest}` : `${name}:${tagOrDigest}`);
      if (bytes === undefined)
        return Promise.reject(new RegistryError('NotFound', 'MANIFEST_UNKNOWN', 'manifest unknown: manifest unknown'));
      return Promise.resolve({ bytes, digest: sha256(bytes), mediaType: '' });
    },
    manifestDigest: tagOrDigest => {
      const bytes = manifests.get(tagOrDigest.includes(':') ? `${name}@${tagOrDigest}` : `${name}:${tagOrDigest}`);
      return bytes === undefined
        ? Promise.reject(new RegistryError('NotFound', 'MANIFEST_UNKNOWN', 'manifest unknown: manifest unknown'))
        : Promise.resolve(sha256(bytes));
    },
    blobSize: digest => {
      const data = blobs.get(digest);
      return data === undefined ? Promise.reject(notFound(`blob unknown: ${digest}`)) : Promise.resolve(data.length);
    },
    async *blob(blob, signal, from = 0) {
      reads.push(blob.digest);
      await registry.gate?.(blob.digest, signal);
      signal.throwIfAborted();
      const data = blobs.get(blob.digest);
      if (data === undefined) throw notFound(`blob unknown: ${blob.digest}`);
      registry.starts.set(blob.digest, from);
      for (let at = from; at < data.length; at += 1000) {
        registry.pace?.(blob.digest, at);
        signal.throwIfAborted();
        yield data.slice(at, at + 1000);
      }
    },
    hasBlob: digest => Promise.resolve(blobs.has(digest)),
    mountBlob: () => Promise.resolve(false),
    async putBlob(upload) {
      const parts: Uint8Array[] = [];
      for await (const chunk of upload.open()) parts.push(chunk.slice());
      const data = Buffer.concat(parts);
      if (sha256(data) !== upload.digest()) throw new Error('digest mismatch');
      blobs.set(sha256(data), data);
    },
    putManifest(tag, _mediaType, bytes) {
      parseManifest(bytes);
      manifests.set(`${name}:${tag}`, bytes);
      return Promise.resolve();
    },
    tags: () => Promise.resolve([...manifests.keys()].flatMap(key => (key.startsWith(`${name}:`) ? [key.slice(name.length + 1)] : []))),
  });
  return registry;
}
