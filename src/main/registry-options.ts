import { existsSync } from 'node:fs';
import { isAbsolute, resolve } from 'node:path';
import { invalidArgument } from '#base/errors.ts';
import { type LogLevel, logLevels } from '#base/log.ts';
import { type AccessRule, actions, anonymousPull, defaultRules, repositoryPattern } from '#registry/auth/access.ts';
import type { Endpoint } from '#registry/events/notifier.ts';
import type { QuotaOptions } from '#registry/quotas.ts';
import { ConfigReader, type RegistryConfig } from './registry-config.ts';

export interface UpstreamOptions {
  readonly prefix: string;
  readonly url: URL;
  readonly username: string | undefined;
  readonly password: string | undefined;
  readonly ttlMs: number | undefined;
}

export interface Address {
  readonly hostname: string;
  readonly port: number;
}

export type StorageOptions =
  | { readonly kind: 'filesystem'; readonly root: string }
  | {
      readonly kind: 's3';
      readonly bucket: string;
      readonly region: string | undefined;
      readonly endpoint: string | undefined;
      readonly accessKey: string | undefined;
      readonly secretKey: string | undefined;
      readonly sessionToken: string | undefined;
      readonly prefix: string;
      readonly partBytes: number;
      readonly parallel: number;
      readonly virtualHostedStyle: boolean;
      readonly redirect: boolean;
      readonly stagingFolder: string;
    };

export type AuthOptions =
  | { readonly kind: 'none' }
  | {
      readonly kind: 'htpasswd';
      readonly path: string;
      readonly realm: string;
      readonly rules: readonly AccessRule[];
      readonly challenge: 'basic' | 'bearer';
      readonly tokenLifetimeSeconds: number;
      readonly tokenKey: string | undefined;
    }
  | {
      readonly kind: 'token';
      readonly realm: string;
      readonly service: string;
      readonly issuer: string;
      readonly rootCertBundle: string | undefined;
      readonly jwks: string | undefined;
    };

export interface RegistryServerOptions {
  readonly log: { readonly level: LogLevel; readonly format: 'text' | 'json' };
  readonly storage: StorageOptions;
  readonly mayDelete: boolean;
  readonly isReadOnly: boolean;
  readonly uploadAgeMs: number;
  readonly address: Address;
  readonly debugAddress: Address | undefined;
  readonly metricsPath: string;
  readonly externalUrl: string | undefined;
  readonly tls: { readonly certificate: string; readonly key: string; readonly clientCas: readonly string[] } | undefined;
  readonly headers: Readonly<Record<string, string>>;
  readonly drainMs: number;
  readonly idleSeconds: number;
  readonly auth: AuthOptions;
  readonly quotas: QuotaOptions;
  readonly upstreams: readonly UpstreamOptions[];
  readonly gc: { readonly intervalMs: number; readonly graceMs: number; readonly untagged: boolean };
  readonly auditPath: string | undefined;
  readonly endpoints: readonly Endpoint[];
  readonly includeReferences: boolean;
  readonly maxCatalogEntries: number;
  readonly maxTags: number;
  readonly maxManifestBytes: number;
  readonly indexesNeedAll: boolean;
}

const dayMs = 24 * 3_600_000;
const mib = 1024 * 1024;

/** What the values of a configuration mean. Rejects with InvalidArgument what is wrong, or does not go together. */
export function resolveRegistryOptions(config: RegistryConfig): RegistryServerOptions {
  const read = new ConfigReader(config.values);
  const version = read.text('version');
  if (version !== undefined && version !== '0.1') throw invalidArgument(`version is ${version}: the configuration format 0.1 is known`);
  const debug = read.text('http.debug.addr');
  const maxBytes = read.bytes('validation.manifests.maxbytes') ?? 4 * mib;
  return {
    log: { level: read.choice('log.level', logLevels) ?? 'info', format: read.choice('log.formatter', ['text', 'json']) ?? 'text' },
    storage: storageOf(read),
    mayDelete: read.bool('storage.delete.enabled') ?? true,
    isReadOnly: read.bool('storage.maintenance.readonly.enabled') ?? false,
    uploadAgeMs: read.durationMs('storage.maintenance.uploadpurging.age') ?? 7 * dayMs,
    address: addressOf('http.addr', read.text('http.addr') ?? '127.0.0.1:5000'),
    debugAddress: debug === undefined ? undefined : addressOf('http.debug.addr', debug),
    metricsPath: read.text('http.debug.prometheus.path') ?? '/metrics',
    externalUrl: externalUrlOf(read),
    tls: tlsOf(read),
    headers: read.map('http.headers') ?? {},
    drainMs: read.durationMs('http.draintimeout') ?? 30_000,
    idleSeconds: Math.min(255, Math.ceil((read.durationMs('http.idletimeout') ?? 120_000) / 1000)),
    auth: authOf(read),
    quotas: quotasOf(read),
    upstreams: upstreamsOf(read),
    gc: {
      intervalMs: read.durationMs('gc.interval') ?? dayMs,
      graceMs: read.durationMs('gc.grace') ?? 3_600_000,
      untagged: read.bool('gc.untagged') ?? false,
    },
    auditPath: read.text('audit.path'),
    endpoints: endpointsOf(read),
    includeReferences: read.bool('notifications.events.includereferences') ?? false,
    maxCatalogEntries: Math.max(1, read.int('catalog.maxentries') ?? 1000),
    maxTags: Math.max(1, read.int('tags.maxtags') ?? 1000),
    maxManifestBytes: maxBytes,
    indexesNeedAll: (read.choice('validation.manifests.indexes.platforms', ['all', 'none']) ?? 'all') === 'all',
  };
}

function storageOf(read: ConfigReader): StorageOptions {
  const bucket = read.text('storage.s3.bucket');
  if (bucket === undefined) {
    return { kind: 'filesystem', root: absolute(read.text('storage.filesystem.rootdirectory') ?? '/var/lib/berth/registry') };
  }
  if (read.has('storage.filesystem.rootdirectory'))
    throw invalidArgument('storage.filesystem.rootdirectory and storage.s3.bucket are both given: images are stored in one place');
  const partBytes = read.bytes('storage.s3.chunksize') ?? 16 * mib;
  if (partBytes < 5 * mib) throw invalidArgument(`storage.s3.chunksize is ${String(partBytes)}: S3 wants parts of 5MiB at least`);
  return {
    kind: 's3',
    bucket,
    region: read.text('storage.s3.region'),
    endpoint: read.text('storage.s3.regionendpoint'),
    accessKey: read.text('storage.s3.accesskey'),
    secretKey: read.text('storage.s3.secretkey'),
    sessionToken: read.text('storage.s3.sessiontoken'),
    prefix: read.text('storage.s3.rootdirectory') ?? '',
    partBytes,
    parallel: Math.max(1, read.int('storage.s3.multipartcopymaxconcurrency') ?? 8),
    virtualHostedStyle: read.bool('storage.s3.virtualhosted') ?? false,
    redirect: !(read.bool('storage.redirect.disable') ?? true),
    stagingFolder: absolute(read.text('storage.staging') ?? '/var/lib/berth/registry-staging'),
  };
}

const absolute = (path: string): string => (isAbsolute(path) ? path : resolve(path));

/** `:5000`, `127.0.0.1:5000`, `[::1]:5000`, `localhost:5000`. */
function addressOf(key: string, text: string): Address {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]]*)):(\d{1,5})$/.exec(text);
  const port = Number(match?.[3]);
  if (match === null || port > 65_535)
    throw invalidArgument(`${key} is "${text}": expected address:port, such as 127.0.0.1:5000 or :5000 for all`);
  const host = match[1] ?? match[2] ?? '';
  return { hostname: host === '' ? everywhere() : host, port };
}

const everywhere = (): string => (existsSync('/proc/net/if_inet6') ? '::' : '0.0.0.0');

function externalUrlOf(read: ConfigReader): string | undefined {
  const text = read.text('http.host');
  if (text === undefined) return undefined;
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !/^https?:$/.test(url.protocol) || url.pathname !== '/' || url.search !== '')
    throw read.wrong('http.host', text, 'a URL without a path, such as https://registry.example.com');
  return url.origin;
}

function tlsOf(read: ConfigReader): RegistryServerOptions['tls'] {
  const [certificate, key] = [read.text('http.tls.certificate'), read.text('http.tls.key')];
  const clientCas = read.list('http.tls.clientcas') ?? [];
  if (certificate === undefined && key === undefined) {
    if (clientCas.length > 0) throw invalidArgument('http.tls.clientcas needs http.tls.certificate and http.tls.key');
    return undefined;
  }
  if (certificate === undefined || key === undefined)
    throw invalidArgument(
      `http.tls.${certificate === undefined ? 'certificate' : 'key'} is missing: a certificate and its key go together`,
    );
  return { certificate, key, clientCas };
}

function authOf(read: ConfigReader): AuthOptions {
  const realm = read.text('auth.token.realm');
  const path = read.text('auth.htpasswd.path');
  const anonymous = read.choice('auth.anonymous', ['none', 'pull']) ?? 'none';
  const rules = rulesOf(read);
  if (realm !== undefined) {
    if (path !== undefined) throw invalidArgument('auth.token and auth.htpasswd are both given: clients are asked in one way');
    if (rules.length > 0 || anonymous !== 'none')
      throw invalidArgument('access and auth.anonymous go with auth.htpasswd; with auth.token the token server decides');
    const [rootCertBundle, jwks] = [read.text('auth.token.rootcertbundle'), read.text('auth.token.jwks')];
    if (rootCertBundle === undefined && jwks === undefined)
      throw invalidArgument('auth.token needs rootcertbundle or jwks, to check tokens with');
    return {
      kind: 'token',
      realm,
      service: read.needed('auth.token.service'),
      issuer: read.needed('auth.token.issuer'),
      rootCertBundle,
      jwks,
    };
  }
  if (path === undefined) {
    if (rules.length > 0 || anonymous !== 'none')
      throw invalidArgument('access and auth.anonymous need auth.htpasswd: without users everybody may do everything');
    return { kind: 'none' };
  }
  const all = [...(rules.length > 0 ? rules : defaultRules), ...(anonymous === 'pull' ? [anonymousPull] : [])];
  const letsAnonymousIn = all.some(rule => rule.users.includes('anonymous'));
  return {
    kind: 'htpasswd',
    path,
    realm: read.text('auth.htpasswd.realm') ?? 'Berth registry',
    rules: all,
    challenge: read.choice('auth.htpasswd.challenge', ['basic', 'bearer']) ?? (letsAnonymousIn ? 'bearer' : 'basic'),
    tokenLifetimeSeconds: Math.max(60, Math.round((read.durationMs('auth.htpasswd.tokenlifetime') ?? 300_000) / 1000)),
    tokenKey: read.text('auth.htpasswd.tokenkey'),
  };
}

const ruleActions = [...actions, 'catalog'] as const;

function rulesOf(read: ConfigReader): AccessRule[] {
  return read.objects('access', ['repositories', 'users', 'actions']).map(rule => {
    const listed = rule.list('actions') ?? [];
    const wanted = listed.includes('*') ? ruleActions : ruleActions.filter(action => listed.includes(action));
    const unknown = listed.find(action => action !== '*' && !ruleActions.some(known => known === action));
    if (unknown !== undefined || wanted.length === 0)
      throw rule.wrong('actions', unknown ?? listed, `a list of ${ruleActions.join(', ')} or *`);
    const users = rule.list('users');
    if (users === undefined || users.length === 0) throw rule.wrong('users', users, 'a list of names, "authenticated" or "anonymous"');
    return { repositories: rule.list('repositories') ?? ['**'], users, actions: wanted };
  });
}

function quotasOf(read: ConfigReader): QuotaOptions {
  const rules = read.objects('quota.repositories', ['repositories', 'limit']).map(rule => {
    const patterns = (rule.list('repositories') ?? ['**']).map(repositoryPattern);
    const maxBytes = rule.bytes('limit');
    if (maxBytes === undefined) throw rule.wrong('limit', undefined, 'a size such as 10GiB');
    return { matches: (name: string) => patterns.some(matches => matches(name)), maxBytes };
  });
  return { totalBytes: read.bytes('quota.total'), rules };
}

function upstreamsOf(read: ConfigReader): UpstreamOptions[] {
  const keys = ['prefix', 'remoteurl', 'username', 'password', 'ttl'];
  const listed = read.objects('upstreams', keys).map(upstream => upstreamOf(upstream, ''));
  const only = read.has('proxy.remoteurl') ? [upstreamOf(read, 'proxy.')] : [];
  const all = [...only, ...listed];
  const twice = all.find((one, index) => all.findIndex(other => other.prefix === one.prefix) !== index);
  if (twice !== undefined) throw invalidArgument(`two upstreams have the prefix "${twice.prefix}": give each its own`);
  return all;
}

function upstreamOf(read: ConfigReader, prefix: string): UpstreamOptions {
  const text = read.needed(`${prefix}remoteurl`);
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || !/^https?:$/.test(url.protocol) || url.pathname !== '/' || url.username !== '')
    throw read.wrong(`${prefix}remoteurl`, text, 'a URL without a path, such as https://registry-1.docker.io');
  const ttl = read.durationMs(`${prefix}ttl`) ?? 7 * dayMs;
  const place = prefix === '' ? (read.text('prefix') ?? '') : '';
  return {
    prefix: place === '' ? '' : `${place.replace(/^\/+|\/+$/g, '')}/`,
    url,
    username: read.text(`${prefix}username`),
    password: read.text(`${prefix}password`),
    ttlMs: ttl === 0 ? undefined : ttl,
  };
}

function endpointsOf(read: ConfigReader): Endpoint[] {
  const keys = ['name', 'url', 'headers', 'timeout', 'threshold', 'backoff', 'ignoredmediatypes', 'ignore', 'disabled'];
  return read
    .objects('notifications.endpoints', keys)
    .filter(endpoint => endpoint.bool('disabled') !== true)
    .map(endpoint => {
      const url = endpoint.needed('url');
      if (!URL.canParse(url)) throw endpoint.wrong('url', url, 'a URL');
      const ignore = new ConfigReader(new Map(Object.entries(endpoint.raw('ignore') ?? {})), 'ignore');
      return {
        name: endpoint.text('name') ?? new URL(url).host,
        url,
        headers: endpoint.map('headers') ?? {},
        timeoutMs: endpoint.durationMs('timeout') ?? 10_000,
        threshold: Math.max(1, endpoint.int('threshold') ?? 3),
        backoffMs: endpoint.durationMs('backoff') ?? 1_000,
        ignoredMediaTypes: [...(endpoint.list('ignoredmediatypes') ?? []), ...(ignore.list('mediatypes') ?? [])],
        ignoredActions: ignore.list('actions') ?? [],
      };
    });
}
