import { afterAll, beforeAll, expect, test } from 'bun:test';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isInsecure } from './addresses.ts';
import { endpointsOf, parseMirror } from './endpoints.ts';

let dir: string;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'berth-hosts-'));
});
afterAll(() => rm(dir, { recursive: true }));

const lookUp = (name: string): Promise<readonly string[]> => Promise.resolve(name === 'inside.test' ? ['10.1.2.3'] : ['192.0.2.1']);
const roots = async (domain: string, mirrors: readonly string[], insecureRegistries: readonly string[] = []): Promise<string[]> =>
  (await endpointsOf(domain, { mirrors, insecureRegistries, hostDirs: [dir], lookUp })).map(
    ({ root, namespace }) => root + (namespace === undefined ? '' : ` for ${namespace}`),
  );

test('mirrors are for Docker Hub unless they name another registry, or all', async () => {
  const mirrors = ['https://hub.test', 'quay.io=https://quay.test/path/', '*=http://all.test'];
  expect(await roots('docker.io', mirrors)).toEqual([
    'https://hub.test/v2',
    'http://all.test/v2 for docker.io',
    'https://registry-1.docker.io/v2',
  ]);
  expect(await roots('quay.io', mirrors)).toEqual([
    'https://quay.test/path/v2 for quay.io',
    'http://all.test/v2 for quay.io',
    'https://quay.io/v2',
  ]);
});

test('plain HTTP is tried with insecure registries only', async () => {
  expect(await roots('registry.test', [])).toEqual(['https://registry.test/v2']);
  expect(await roots('registry.test', [], ['registry.test'])).toEqual(['https://registry.test/v2', 'http://registry.test/v2']);
  expect(await roots('inside.test:5000', [], ['10.0.0.0/8'])).toEqual(['https://inside.test:5000/v2', 'http://inside.test:5000/v2']);
});

test.each([
  ['localhost:5000', [], true],
  ['127.1.2.3', [], true],
  ['[::1]:5000', [], true],
  ['[::2]:5000', [], false],
  ['10.1.2.3:5000', ['10.0.0.0/8'], true],
  ['11.1.2.3:5000', ['10.0.0.0/8'], false],
  ['[fd00::1]:5000', ['fd00::/8'], true],
  ['inside.test', ['10.0.0.0/8'], true],
  ['outside.test', ['10.0.0.0/8'], false],
  ['a.test:5000', ['a.test'], true],
  ['a.test:5000', ['a.test:5000'], true],
  ['a.test:5001', ['a.test:5000'], false],
])('%s with %p: insecure is %p', async (host, rules, expected) => {
  expect(await isInsecure(host, rules, lookUp)).toBe(expected);
});

test.each([
  ['nonsense', 'invalid mirror "nonsense": expected an address'],
  ['quay.io=nonsense', 'quay.io=https://mirror.example.com'],
  ['https://me:secret@mirror.test', 'invalid mirror: mirror.test must not carry a user name or password'],
  ['https://mirror.test/?x', 'a query or fragment is not allowed'],
  ['quay.io=ftp://me:secret@mirror.test', 'invalid mirror "quay.io=ftp://xxxxx:xxxxx@mirror.test"'],
])('the mirror %s is refused', (mirror, words) => {
  expect(() => parseMirror(mirror)).toThrow(words);
});

const write = async (name: string, text: string): Promise<void> => {
  await mkdir(join(dir, name), { recursive: true });
  await Bun.write(join(dir, name, 'hosts.toml'), text);
};

test('hosts.toml says in which order hosts are asked, and for what', async () => {
  await Bun.write(join(dir, 'far.test/ca.pem'), 'a certificate');
  await write(
    'far.test',
    `server = "https://far.test"
[host."https://near.test/mirror"]
  capabilities = ["pull"]
  override_path = true
  skip_verify = true
  [host."https://near.test/mirror".header]
    x-key = "a"
    x-keys = ["b", "c"]
[host."http://next.test:5000"]
  capabilities = ["pull", "resolve"]
  ca = "ca.pem"
`,
  );
  const [near, next, own, ...more] = await endpointsOf('far.test', { mirrors: [], insecureRegistries: [], hostDirs: [dir], lookUp });
  expect(near).toMatchObject({
    root: 'https://near.test/mirror',
    isMirror: true,
    capabilities: ['pull'],
    insecure: true,
    namespace: 'far.test',
    headers: { 'x-key': 'a', 'x-keys': 'b, c' },
    tls: { rejectUnauthorized: false },
  });
  expect(next).toMatchObject({ root: 'http://next.test:5000/v2', capabilities: ['pull', 'resolve'] });
  expect(next?.tls?.ca).toContain('a certificate');
  expect(own).toMatchObject({ root: 'https://far.test/v2', isMirror: false, capabilities: ['pull', 'resolve', 'push'] });
  expect(more).toEqual([]);
});

test('a port is written as in containerd too, and _default is for the rest', async () => {
  await write('ported.test_5000_', '[host."https://a.test"]');
  await write('_default', '[host."https://b.test"]');
  expect(await roots('ported.test:5000', [])).toEqual(['https://a.test/v2 for ported.test:5000', 'https://ported.test:5000/v2']);
  expect(await roots('any.test', [])).toEqual(['https://b.test/v2 for any.test', 'https://any.test/v2']);
  await rm(join(dir, '_default'), { recursive: true });
});

test.each([
  ['= 1', /bad\.test\/hosts\.toml is not valid TOML/],
  ['[host."nowhere"]', /"nowhere" is no address such as/],
  ['[host."https://a.test"]\nskip_verfy = true', /unknown key "skip_verfy" of https:\/\/a\.test; there are capabilities/],
  ['[host."https://a.test"]\nskip_verify = "yes"', /"skip_verify" of https:\/\/a\.test must be true or false/],
  ['[host."https://a.test"]\ncapabilities = ["fetch"]', /must be a list of pull, resolve, push/],
  ['[host."https://me:secret@a.test"]', /^(?!.*secret).*the address of a\.test carries a user name or password/],
  ['[host."ftp://me:secret@a.test"]', /"ftp:\/\/xxxxx:xxxxx@a\.test" is no address/],
  ['[host."https://a.test"]\nca = "missing.pem"', /"ca" of https:\/\/a\.test must be a file that can be read/],
])('a hosts.toml with %p is refused', async (text, words) => {
  await write('bad.test', text);
  expect(roots('bad.test', [])).rejects.toThrow(words);
});
