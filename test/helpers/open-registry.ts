import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { silentLogger } from '#base/log.ts';
import { openToAll } from '#registry/auth/authenticator.ts';
import { parseRepository, tryParseTag } from '#registry/names.ts';
import { Registry, type RegistryOptions } from '#registry/registry.ts';
import { openFilesystemStorage } from '#registry/storage/filesystem.ts';

/** A registry in this process, without HTTP, in a folder of its own. */
export async function openTestRegistry(
  overrides: Partial<RegistryOptions> = {},
): Promise<{ readonly registry: Registry; readonly folder: string } & AsyncDisposable> {
  // In memory: a test of rules does not wait for a disk.
  const folder = await mkdtemp(`${existsSync('/dev/shm') ? '/dev/shm' : '/tmp'}/berth-ro-`);
  const registry = await Registry.open({
    storage: openFilesystemStorage(folder),
    authenticator: openToAll,
    tokens: undefined,
    limits: {
      maxManifestBytes: 4 << 20,
      maxCatalogEntries: 1000,
      maxTags: 1000,
      isReadOnly: false,
      mayDelete: true,
      externalUrl: undefined,
    },
    quotas: { totalBytes: undefined, rules: [] },
    upstreams: [],
    indexesNeedAll: true,
    graceMs: 0,
    uploadAgeMs: 3_600_000,
    log: silentLogger,
    ...overrides,
  });
  return {
    registry,
    folder,
    async [Symbol.asyncDispose]() {
      await registry[Symbol.asyncDispose]();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

export const repositoryOf = parseRepository;

export function tagOf(text: string): NonNullable<ReturnType<typeof tryParseTag>> {
  const tag = tryParseTag(text);
  if (tag === undefined) throw new Error(`no tag: ${text}`);
  return tag;
}
