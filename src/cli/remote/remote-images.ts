import type { AuthConfig } from '#api/types/auth.ts';
import type { ImageConfigFile } from '#oci/image-config.ts';
import { type Digest, sha256 } from '#oci/digest.ts';
import { type Descriptor, type ImageManifest, parseManifest } from '#oci/manifest.ts';
import type { Platform } from '#oci/platform.ts';
import { familiarName, parseReference, type Reference, repositoryOf, withDefaultTag } from '#oci/reference.ts';
import { dataLoss } from '#base/errors.ts';
import type { Cli } from '../cli.ts';
import { getCredentials } from '../config/credentials.ts';
import { registryOf } from '../config/registry-auth.ts';
import { ExitError } from '../errors.ts';
import type { RemoteAuth, RemoteContent, RemoteRepository } from './registry-port.ts';

/** Credentials as registries are opened with. */
export const toRemoteAuth = ({ username, password, serveraddress, identitytoken, registrytoken }: AuthConfig): RemoteAuth => ({
  ...(username !== undefined && { username }),
  ...(password !== undefined && { password }),
  ...(serveraddress !== undefined && { serverAddress: serveraddress }),
  ...(identitytoken !== undefined && { identityToken: identitytoken }),
  ...(registrytoken !== undefined && { registryToken: registrytoken }),
});

/** Registries as this user knows them: with the credentials of config.json, each repository opened once. */
export class RemoteImages {
  readonly signal = new AbortController().signal;
  readonly #cli: Cli;
  readonly #isInsecure: boolean;
  readonly #repositories = new Map<string, Promise<RemoteRepository>>();

  constructor(cli: Cli, isInsecure: boolean) {
    this.#cli = cli;
    this.#isInsecure = isInsecure;
  }

  repository(name: Reference, actions: 'pull' | 'push'): Promise<RemoteRepository> {
    const key = `${actions} ${repositoryOf(name)}`;
    const opened = this.#repositories.get(key) ?? this.#open(name, actions);
    this.#repositories.set(key, opened);
    return opened;
  }

  async #open(name: Reference, actions: 'pull' | 'push'): Promise<RemoteRepository> {
    const [open, stored] = await Promise.all([this.#cli.openRegistries(), getCredentials(this.#cli, registryOf(familiarName(name)))]);
    return open({ insecure: this.#isInsecure ? [name.domain] : [] }).repository(name, { actions, auth: toRemoteAuth(stored) });
  }

  async content(name: Reference): Promise<RemoteContent> {
    return await (await this.repository(name, 'pull')).manifest(name.digest ?? name.tag ?? 'latest', this.signal);
  }

  /** A small blob, compared with its digest. */
  async blob(name: Reference, blob: Pick<Descriptor, 'digest' | 'size'>): Promise<Uint8Array> {
    if (blob.size > maxSmallBytes)
      throw dataLoss(`${blob.digest} of ${String(blob.size)} bytes is too large for a description of an image`);
    const parts: Uint8Array[] = [];
    for await (const chunk of (await this.repository(name, 'pull')).blob(blob, this.signal)) parts.push(chunk.slice());
    const bytes = Buffer.concat(parts);
    if (sha256(bytes) !== blob.digest) throw dataLoss(`${blob.digest} of ${familiarName(name)} has other bytes: ${sha256(bytes)}`);
    return bytes;
  }

  /** What a manifest's configuration says that it runs on; undefined when it does not. */
  async platform(name: Reference, manifest: ImageManifest): Promise<Platform | undefined> {
    const config = JSON.parse(new TextDecoder().decode(await this.blob(name, manifest.config))) as Partial<ImageConfigFile>;
    if (typeof config.os !== 'string' || typeof config.architecture !== 'string') return undefined;
    const { os, architecture, variant } = config;
    const [version, features] = [config['os.version'], (config as { readonly 'os.features'?: readonly string[] })['os.features']];
    return {
      architecture,
      os,
      ...(typeof version === 'string' && version !== '' && { 'os.version': version }),
      ...(Array.isArray(features) && features.length > 0 && { 'os.features': features }),
      ...(typeof variant === 'string' && variant !== '' && { variant }),
    };
  }

  /** Has everything that a manifest or an index stands for in another repository: taken over where the registry can, sent where it cannot. */
  async copy(from: Reference, content: Pick<RemoteContent, 'bytes' | 'mediaType' | 'digest'>, to: Reference): Promise<void> {
    const parsed = parseManifest(content.bytes, content.mediaType);
    const target = await this.repository(to, 'push');
    if (repositoryOf(from) !== repositoryOf(to)) {
      if (parsed.kind === 'index') {
        for (const entry of parsed.manifests) await this.copy(from, await this.content({ ...from, digest: entry.digest }), to);
      } else {
        const blobs = [...parsed.layers.filter(layer => layer.urls === undefined || layer.urls.length === 0), parsed.config];
        for (const blob of blobs) await this.#copyBlob(from, blob, to);
      }
    }
    await target.putManifest(content.digest, parsed.mediaType, content.bytes, this.signal);
  }

  async #copyBlob(from: Reference, blob: Descriptor, to: Reference): Promise<void> {
    const target = await this.repository(to, 'push');
    if (await target.hasBlob(blob.digest, this.signal)) return;
    if (from.domain === to.domain && (await target.mountBlob(blob.digest, from.path, this.signal).catch(() => false))) return;
    const source = await this.repository(from, 'pull');
    await target.putBlob({ open: () => source.blob(blob, this.signal), digest: (): Digest => blob.digest }, this.signal);
  }
}

const maxSmallBytes = 16 * 1024 * 1024;

/** A name with its tag; `latest` where there is none. Rejects with what is wrong with it. */
export function parseName(text: string): Reference {
  try {
    return withDefaultTag(parseReference(text));
  } catch (err) {
    throw new ExitError(1, err instanceof Error ? err.message : String(err), { cause: err });
  }
}
