import { describe, expect, test } from 'bun:test';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { readRegistryConfig } from './registry-config.ts';
import { resolveRegistryOptions, type RegistryServerOptions } from './registry-options.ts';

function optionsFor(
  yaml: string,
  env: Record<string, string> = {},
  flags: Record<string, string> = {},
): RegistryServerOptions & { notices: readonly string[] } {
  const folder = mkdtempSync('/tmp/berth-rc-');
  try {
    const file = join(folder, 'config.yml');
    writeFileSync(file, yaml);
    const config = readRegistryConfig({ file, env, flags: new Map(Object.entries(flags)) });
    return { ...resolveRegistryOptions(config), notices: config.notices };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

describe('configuration of the registry', () => {
  test('without any, for this machine only', () => {
    const options = optionsFor('');
    expect(options.address).toEqual({ hostname: '127.0.0.1', port: 5000 });
    expect(options.storage).toEqual({ kind: 'filesystem', root: '/var/lib/berth/registry' });
    expect([options.auth, options.tls, options.mayDelete]).toEqual([{ kind: 'none' }, undefined, true]);
  });

  test("the reference registry's file is understood, with what has no effect named", () => {
    const options = optionsFor(`
version: 0.1
log: {accesslog: {disabled: true}, level: debug, formatter: json, fields: {service: registry}}
storage:
  delete: {enabled: false}
  cache: {blobdescriptor: inmemory}
  filesystem: {rootdirectory: /srv/r, maxthreads: 100}
  maintenance: {uploadpurging: {enabled: true, age: 48h, interval: 24h, dryrun: false}, readonly: {enabled: true}}
auth: {htpasswd: {realm: basic-realm, path: /etc/users}}
http: {addr: "localhost:5001", secret: x, draintimeout: 60s, headers: {X-Content-Type-Options: [nosniff]}, http2: {disabled: false}, debug: {addr: ":5002", prometheus: {enabled: true, path: /m}}}
health: {storagedriver: {enabled: true, interval: 10s, threshold: 3}}
notifications:
  events: {includereferences: true}
  endpoints:
    - {name: a, url: "https://h/cb", headers: {Authorization: [Bearer x]}, timeout: 1s, threshold: 10, backoff: 1m, ignoredmediatypes: [a/b], ignore: {actions: [pull]}}
    - {name: b, disabled: true, url: "https://h"}
proxy: {remoteurl: "https://registry-1.docker.io", username: u, password: p, ttl: 72h}
`);
    expect(options).toMatchObject({
      log: { level: 'debug', format: 'json' },
      storage: { kind: 'filesystem', root: '/srv/r' },
      mayDelete: false,
      isReadOnly: true,
      uploadAgeMs: 48 * 3_600_000,
      address: { hostname: 'localhost', port: 5001 },
      metricsPath: '/m',
      drainMs: 60_000,
      includeReferences: true,
      headers: { 'X-Content-Type-Options': 'nosniff' },
      auth: { kind: 'htpasswd', realm: 'basic-realm', path: '/etc/users', challenge: 'basic' },
    });
    expect(options.endpoints).toEqual([
      {
        name: 'a',
        url: 'https://h/cb',
        headers: { Authorization: 'Bearer x' },
        timeoutMs: 1000,
        threshold: 10,
        backoffMs: 60_000,
        ignoredMediaTypes: ['a/b'],
        ignoredActions: ['pull'],
      },
    ]);
    expect(options.upstreams).toMatchObject([{ prefix: '', username: 'u', password: 'p', ttlMs: 72 * 3_600_000 }]);
    for (const key of ['log.accesslog', 'storage.cache', 'http.secret', 'health', 'storage.maintenance.uploadpurging.interval'])
      expect(options.notices.some(notice => notice.startsWith(`${key}`) && notice.includes('has no effect'))).toBe(true);
  });

  test('environment wins over the file, flags win over both', () => {
    const yaml = 'http: {addr: ":1"}\nlog: {level: warn}\n';
    expect(optionsFor(yaml, { REGISTRY_HTTP_ADDR: '127.0.0.1:2' }).address.port).toBe(2);
    expect(optionsFor(yaml, { REGISTRY_HTTP_ADDR: '127.0.0.1:2' }, { 'http.addr': '127.0.0.1:3' }).address.port).toBe(3);
    expect(optionsFor(yaml, { REGISTRY_AUTH: 'htpasswd', REGISTRY_AUTH_HTPASSWD_PATH: '/u' }).auth).toMatchObject({
      kind: 'htpasswd',
      path: '/u',
    });
    expect(optionsFor('', { REGISTRY_UPSTREAMS: '[{prefix: hub, remoteurl: "https://h"}]' }).upstreams).toMatchObject([{ prefix: 'hub/' }]);
    expect(optionsFor('', { REGISTRY_NONSENSE: 'x' }).notices).toEqual([
      'the variable REGISTRY_NONSENSE has no effect: there is no such setting, or it is not needed',
    ]);
  });

  test('access rules and quotas', () => {
    const options = optionsFor(`
auth: {htpasswd: {path: /u}, anonymous: pull}
access:
  - {repositories: ["public/**"], users: [ann], actions: ["*"]}
quota: {total: 10GiB, repositories: [{repositories: ["public/**"], limit: 1MiB}]}
`);
    expect(options.auth).toMatchObject({
      challenge: 'bearer',
      rules: [{ users: ['ann'], actions: ['pull', 'push', 'delete', 'catalog'] }, { users: ['anonymous'] }],
    });
    expect(options.quotas.totalBytes).toBe(10 * 2 ** 30);
    expect(options.quotas.rules[0]?.maxBytes).toBe(2 ** 20);
    expect(options.quotas.rules[0]?.matches('public/x' as never)).toBe(true);
  });

  test.each([
    ['htpp: {}', 'there is no setting htpp'],
    ['http: {adr: x}', 'there is no setting http.adr'],
    ['storage: {rootdirectory: /x}', 'there is no setting storage.rootdirectory; did you mean storage.filesystem.rootdirectory?'],
    ['http: {addr: "5000"}', 'http.addr is "5000": expected address:port'],
    ['http: {addr: "a:99999"}', 'http.addr is "a:99999"'],
    ['log: {level: loud}', 'log.level must be debug or info'],
    ['http: {tls: {certificate: a}}', 'http.tls.key is missing'],
    ['http: {host: "registry.example.com"}', 'http.host must be a URL'],
    ['storage: {maintenance: {readonly: {enabled: 5}}}', 'must be true or false, not 5'],
    ['gc: {grace: soon}', 'gc.grace must be a duration'],
    ['quota: {total: lots}', 'quota.total must be a size'],
    ['access: [{users: [a], actions: [pull]}]', 'access and auth.anonymous need auth.htpasswd'],
    ['auth: {htpasswd: {path: x}}\naccess: [{users: [a], actions: [fly]}]', 'access[0].actions must be a list of'],
    ['auth: {htpasswd: {path: x}}\naccess: [{user: [a], actions: [pull]}]', 'access[0] has the unknown key user'],
    ['auth: {token: {realm: r, service: s, issuer: i}}', 'auth.token needs rootcertbundle or jwks'],
    ['auth: {token: {realm: r}}', 'auth.token needs rootcertbundle or jwks'],
    ['proxy: {remoteurl: "registry-1.docker.io"}', 'proxy.remoteurl must be a URL'],
    ['upstreams: [{remoteurl: "https://a"}, {remoteurl: "https://b"}]', 'two upstreams have the prefix ""'],
    ['storage: {s3: {bucket: b}, filesystem: {rootdirectory: /x}}', 'both given'],
    ['storage: {s3: {bucket: b, chunksize: 1MiB}}', 'S3 wants parts of 5MiB at least'],
    ['version: 7', 'the configuration format 0.1 is known'],
    ['- a', 'must hold keys and values'],
    ['a: [', 'cannot be read'],
  ])('%s is refused', (yaml, message) => {
    expect(() => optionsFor(yaml)).toThrow(message);
  });

  test('a secret is never part of an error', () => {
    expect(() => optionsFor('proxy: {remoteurl: "https://h", password: [hunter2]}')).toThrow(/proxy\.password must be a text$/);
  });
});
