import { decodeJson, integer, list, map, nullable, object, string } from '#api/decode.ts';
import { parseFilters, filterKeys } from '#api/filters.ts';
import { parseBool, type Query } from '#api/query.ts';
import { authConfig } from '#api/requests/auth.ts';
import type { BuildCacheRecord } from '#api/types/system.ts';
import { isBefore } from '#api/versions.ts';
import { invalidArgument } from '#base/errors.ts';
import { parseTimestamp } from '#base/timestamp.ts';
import type { CacheEntry } from '#builder/cache/list.ts';
import type { PruneFilters, PruneOptions, PruneRoom } from '#builder/cache/prune.ts';
import type { BuildRequest } from '#builder/request.ts';
import type { RegistryAuth } from '#core/registry.ts';
import { hostPlatform, parsePlatform } from '#oci/platform.ts';
import { parseReference, type Reference, withDefaultTag } from '#oci/reference.ts';
import type { ApiRequest } from '../api-request.ts';
import { fromAuthConfig } from './image.ts';

/** What the parameters of a build say, apart from where its files are. */
export type BuildParameters = Omit<BuildRequest, 'dockerfile' | 'contextDir'>;

const ulimit = object<{ Name?: string; Soft?: number; Hard?: number }>({ Name: string, Soft: integer, Hard: integer });

/** Rejects with InvalidArgument for what cannot be. */
export function buildParameters(request: ApiRequest): BuildParameters {
  const { query, version } = request;
  const platform = isBefore(version, '1.32') ? undefined : query.optional('platform');
  if (query.list('securityopt').length > 0) {
    throw invalidArgument('The daemon on this platform does not support setting security options on build');
  }
  // Told where it is wrong; what is built here decides by content, not by where a layer was built.
  jsonParameter(query, 'cachefrom', list(string));
  const network = query.text('networkmode');
  return {
    namedContexts: new Map(),
    target: query.text('target'),
    buildArgs: buildArgs(query),
    labels: jsonParameter(query, 'labels', map(string)) ?? {},
    platform: platform === undefined ? undefined : parsePlatform(platform, hostPlatform()),
    noCache: query.bool('nocache') ? 'all' : new Set(),
    pull: query.bool('pull'),
    network: network === '' ? 'default' : network,
    limits: limitsOf(query),
    hostname: 'buildkitsandbox',
    entitlements: new Set(),
    names: namesOf(query.list('t')),
    squash: query.bool('squash'),
    authOf: registryAuths(request.header('x-registry-config')),
    secrets: { secret: () => Promise.resolve(undefined) },
  };
}

function jsonParameter<T>(query: Query, name: string, decoder: Parameters<typeof decodeJson<T>>[1]): T | undefined {
  const text = query.optional(name);
  return text === undefined || text === 'null' ? undefined : decodeJson(text, decoder, name);
}

/** A name without a value is one that the client has no value for: as if it had not been given. */
function buildArgs(query: Query): ReadonlyMap<string, string> {
  const given = jsonParameter(query, 'buildargs', map(nullable(string))) ?? {};
  return new Map(Object.entries(given).flatMap(([name, value]) => (value === null ? [] : [[name, value] as const])));
}

function limitsOf(query: Query): BuildParameters['limits'] {
  const ulimits = jsonParameter(query, 'ulimits', list(ulimit)) ?? [];
  return {
    memoryBytes: query.integer('memory') ?? 0,
    memorySwapBytes: query.integer('memswap') ?? 0,
    cpuShares: query.integer('cpushares') ?? 0,
    cpuPeriod: query.integer('cpuperiod') ?? 0,
    cpuQuota: query.integer('cpuquota') ?? 0,
    cpusetCpus: query.text('cpusetcpus'),
    cpusetMems: query.text('cpusetmems'),
    cgroupParent: query.text('cgroupparent'),
    shmSizeBytes: query.integer('shmsize') ?? 0,
    ulimits: ulimits.map(each => ({ name: each.Name ?? '', soft: each.Soft ?? 0, hard: each.Hard ?? 0 })),
    extraHosts: query.list('extrahosts'),
  };
}

function namesOf(texts: readonly string[]): Reference[] {
  return texts
    .filter(text => text !== '')
    .map(text => {
      const reference = parseReference(text);
      if (reference.digest !== undefined) throw invalidArgument('build tag cannot contain a digest');
      return withDefaultTag(reference);
    });
}

/** X-Registry-Config: base64 of a JSON map from registries to credentials. What cannot be read counts as not sent, as clients expect. */
export function registryAuths(text: string | undefined): (domain: string) => RegistryAuth | undefined {
  if (text === undefined || text === '') return () => undefined;
  try {
    const configs = decodeJson(Buffer.from(text, 'base64').toString('utf8'), map(authConfig), 'X-Registry-Config');
    const byDomain = new Map(
      Object.entries(configs).map(([key, config]) => [domainOf(key), fromAuthConfig({ serveraddress: key, ...config })]),
    );
    return domain => byDomain.get(domain);
  } catch {
    return () => undefined;
  }
}

function domainOf(key: string): string {
  const domain = key.replace(/^https?:\/\//, '').replace(/\/.*$/, '');
  return domain === 'index.docker.io' || domain === 'registry-1.docker.io' ? 'docker.io' : domain;
}

export function pruneOptions({ query, version }: ApiRequest): PruneOptions {
  const filters = parseFilters(query.text('filters'), filterKeys.buildPrune);
  const isNew = !isBefore(version, '1.48');
  const bytes = (name: string): number => (isNew ? (query.integer(name) ?? 0) : 0);
  const room = {
    reservedBytes: (isNew ? query.integer('reserved-space') : undefined) ?? query.integer('keep-storage') ?? 0,
    maxUsedBytes: bytes('max-used-space'),
    minFreeBytes: bytes('min-free-space'),
  };
  const flag = (name: string): boolean | undefined => {
    const values = filters.get(name);
    return values === undefined ? undefined : values.length === 0 || values.some(parseBool);
  };
  const [until = filters.get('unused-for')?.[0]] = filters.get('until') ?? [];
  const texts = (key: keyof PruneFilters, name: string): PruneFilters => (filters.has(name) ? { [key]: filters.get(name) } : {});
  const flags = (key: keyof PruneFilters, name: string): PruneFilters => (flag(name) === undefined ? {} : { [key]: flag(name) });
  return {
    all: query.bool('all'),
    room: roomOf(room),
    filters: {
      ...(until === undefined ? {} : { unusedForMs: Date.now() - parseTimestamp(until, Date.now()) }),
      ...texts('ids', 'id'),
      ...texts('parents', 'parent'),
      ...texts('types', 'type'),
      ...texts('descriptions', 'description'),
      ...flags('inUse', 'inuse'),
      ...flags('shared', 'shared'),
      ...flags('isPrivate', 'private'),
      // Nothing that a build keeps has labels.
      ...(filters.has('label') ? { ids: [] } : {}),
    },
  };
}

/** Undefined when none of its bounds is one. */
export const roomOf = (room: PruneRoom): PruneRoom | undefined => (Object.values(room).some(bytes => bytes > 0) ? room : undefined);

export const toWireCacheRecord = (entry: CacheEntry): BuildCacheRecord => ({
  ID: entry.id,
  ...(entry.parents.length === 0 ? {} : { Parents: [...entry.parents] }),
  Type: entry.type,
  Description: entry.description,
  InUse: entry.inUse,
  Shared: entry.shared,
  Size: entry.sizeBytes,
  CreatedAt: entry.createdAt,
  LastUsedAt: entry.lastUsedAt,
  UsageCount: entry.usageCount,
});
