import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { conflict } from '#base/errors.ts';
import type { Logger } from '#base/log.ts';
import { createRegistryClient } from '#host/registry/client.ts';
import { tryLock } from '#host/sys/flock.ts';
import type { Reference } from '#oci/reference.ts';
import { type Authenticator, openToAll } from '#registry/auth/authenticator.ts';
import type { TokenService } from '#registry/auth/token-service.ts';
import type { Upstream } from '#registry/proxy/pull-through.ts';
import { Registry } from '#registry/registry.ts';
import { openFilesystemStorage } from '#registry/storage/filesystem.ts';
import { openS3Storage } from '#registry/storage/s3.ts';
import type { Storage } from '#registry/storage/storage.ts';
import type { RegistryServerOptions, StorageOptions, UpstreamOptions } from './registry-options.ts';
import { productVersion } from './version.ts';

/** Where the process that has the storage listens for orders of the operator. */
export const controlSocket = (options: StorageOptions): string => join(localFolder(options), 'control.sock');

const localFolder = (options: StorageOptions): string => (options.kind === 'filesystem' ? options.root : options.stagingFolder);

/** Undefined when another process works on the storage. */
export function claimStorage(options: StorageOptions): Disposable | undefined {
  const folder = localFolder(options);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  return tryLock(join(folder, 'lock'));
}

export const alreadyServed = (options: StorageOptions): Error =>
  conflict(`another registry works on ${localFolder(options)}: give this one a directory of its own`);

/** The folder for keys and the like. */
export const stateFolder = localFolder;

export function openStorage(options: StorageOptions): Storage {
  return options.kind === 'filesystem' ? openFilesystemStorage(options.root) : openS3Storage(options);
}

/** The registry on its storage, without listeners. The storage has been claimed. */
export async function openRegistry(
  options: RegistryServerOptions,
  log: Logger,
  auth: { readonly authenticator: Authenticator; readonly tokens: TokenService | undefined } = {
    authenticator: openToAll,
    tokens: undefined,
  },
): Promise<Registry> {
  return await Registry.open({
    storage: openStorage(options.storage),
    authenticator: auth.authenticator,
    tokens: auth.tokens,
    limits: {
      maxManifestBytes: options.maxManifestBytes,
      maxCatalogEntries: options.maxCatalogEntries,
      maxTags: options.maxTags,
      isReadOnly: options.isReadOnly,
      mayDelete: options.mayDelete,
      externalUrl: options.externalUrl,
    },
    quotas: options.quotas,
    upstreams: upstreamsOf(options.upstreams, log),
    indexesNeedAll: options.indexesNeedAll,
    graceMs: options.gc.graceMs,
    uploadAgeMs: options.uploadAgeMs,
    log,
  });
}

function upstreamsOf(upstreams: readonly UpstreamOptions[], log: Logger): Upstream[] {
  if (upstreams.length === 0) return [];
  const client = createRegistryClient({
    userAgent: `berth-registry/${productVersion}`,
    log,
    mirrors: [],
    insecureRegistries: upstreams.filter(({ url }) => url.protocol === 'http:').map(({ url }) => url.host),
  });
  return upstreams.map(({ prefix, url, username, password, ttlMs }) => ({
    prefix,
    url: url.origin,
    ttlMs,
    repository: path => {
      const name: Reference = { domain: url.host, path };
      return client.repository(name, {
        actions: 'pull',
        ...(username !== undefined && { auth: { username, password: password ?? '', serverAddress: url.host } }),
      });
    },
  }));
}
