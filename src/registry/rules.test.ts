import { describe, expect, test } from 'bun:test';
import { sha256 } from '#oci/digest.ts';
import { repositoryOf } from '#test/helpers/open-registry.ts';
import { bytesOf } from '#test/helpers/registry-content.ts';
import { pageOf } from './catalog.ts';
import { Guard } from './guard.ts';
import { Lru } from './lru.ts';
import { Metrics } from './metrics.ts';
import { tryParseRepository, tryParseTag } from './names.ts';
import { Quotas } from './quotas.ts';
import { parseScopes } from './auth/scopes.ts';
import { byteRange } from './routes/range.ts';
import { routeOf, targetOf } from './routes/route.ts';

test('names of repositories', () => {
  for (const good of ['a', 'a/b', 'a.b/c_d/e__f/g-h/i---j', '0', 'a'.repeat(255)])
    expect([good, tryParseRepository(good)]).toEqual([good, good as never]);
  for (const bad of [
    '',
    '/',
    'a/',
    '/a',
    'a//b',
    'A',
    'a..b',
    'a.',
    '-a',
    'a_',
    'a___b',
    '..',
    'a/../b',
    'ä',
    'a b',
    'a\n',
    'a:b',
    'a'.repeat(256),
  ])
    expect([bad, tryParseRepository(bad)]).toEqual([bad, undefined]);
});

test('tags', () => {
  for (const good of ['a', 'A', '_x', '1.2-3_4', 't'.repeat(128)]) expect(tryParseTag(good)).toBe(good as never);
  for (const bad of ['', '.a', '-a', 'a/b', 'a:b', 'a b', 'a\n', 't'.repeat(129)])
    expect([bad, tryParseTag(bad)]).toEqual([bad, undefined]);
});

test.each([
  ['http://h/v2/?n=1', '/v2/', 'n=1'],
  ['http://h:1/v2/a/tags/list', '/v2/a/tags/list', ''],
  ['http://h/', '/', ''],
])('path and query of %s', (url, path, query) => {
  expect(targetOf(url)).toEqual({ path, query });
});

test.each([
  ['/v2', { kind: 'base' }],
  ['/v2/a/b/manifests/x', { kind: 'manifest', name: 'a/b', reference: 'x' }],
  ['/v2/a/blobs/sha256:1', { kind: 'blob', name: 'a', digest: 'sha256:1' }],
  ['/v2/a/blobs/sha256%3A1', { kind: 'blob', name: 'a', digest: 'sha256:1' }],
  ['/v2/a/blobs/uploads/', { kind: 'uploads', name: 'a' }],
  ['/v2/a/blobs/uploads', { kind: 'uploads', name: 'a' }],
  ['/v2/a/blobs/uploads/id', { kind: 'upload', name: 'a', id: 'id' }],
  ['/v2/blobs/uploads/blobs/uploads/id', { kind: 'upload', name: 'blobs/uploads', id: 'id' }],
  ['/v2/a/referrers/d', { kind: 'referrers', name: 'a', digest: 'd' }],
  ['/v2/a/tags/other', undefined],
  ['/v2/a/uploads/id', undefined],
  ['/v1/search', { kind: 'search' }],
  ['/', undefined],
  ['/constructor', undefined],
])('what %s asks for', (path, route) => {
  expect(routeOf(path)).toEqual(route as never);
});

test.each([
  [null, undefined],
  ['bytes=0-0', { start: 0, end: 0 }],
  ['bytes=5-', { start: 5, end: 9 }],
  ['bytes=5-100', { start: 5, end: 9 }],
  ['bytes=-3', { start: 7, end: 9 }],
  ['bytes=-30', { start: 0, end: 9 }],
  ['bytes=10-', 'unsatisfiable'],
  ['bytes=-0', 'unsatisfiable'],
  ['bytes=3-1', undefined],
  ['bytes=-', undefined],
  ['bytes=0-1,3-4', undefined],
  ['chars=0-1', undefined],
])('the range %p of ten bytes', (header, expected) => {
  expect(byteRange(header, 10)).toEqual(expected as never);
});

test('pages of a list', () => {
  const all = ['a', 'b', 'c', 'd'];
  expect(pageOf(all, 2, undefined)).toEqual({ items: ['a', 'b'], next: 'b' });
  expect(pageOf(all, 2, 'b')).toEqual({ items: ['c', 'd'], next: undefined });
  expect(pageOf(all, undefined, 'bb')).toEqual({ items: ['c', 'd'], next: undefined });
  expect(pageOf(all, 0, undefined)).toEqual({ items: [], next: undefined });
  expect(pageOf(all, 1, 'd')).toEqual({ items: [], next: undefined });
});

test('scopes of tokens', () => {
  expect(
    parseScopes(['repository:a/b:pull,push registry:catalog:*', 'repository(plugin):x:pull', 'nonsense', 'repository:host:5000/x:pull']),
  ).toEqual([
    { type: 'repository', name: 'a/b', actions: ['pull', 'push'] },
    { type: 'registry', name: 'catalog', actions: ['*'] },
    { type: 'repository', name: 'x', actions: ['pull'] },
    { type: 'repository', name: 'host:5000/x', actions: ['pull'] },
  ]);
});

describe('Lru', () => {
  test('keeps what was used last', () => {
    const lru = new Lru<number>(2);
    lru.set('a', 1);
    lru.set('b', 2);
    expect(lru.get('a')).toBe(1);
    lru.set('c', 3);
    expect([lru.get('a'), lru.get('b'), lru.get('c')]).toEqual([1, undefined, 3]);
  });

  test('weighs', () => {
    const lru = new Lru<string>(10);
    lru.set('a', 'x', 6);
    lru.set('b', 'y', 6);
    expect([lru.get('a'), lru.get('b')]).toEqual([undefined, 'y']);
    lru.set('c', 'too heavy', 11);
    expect([lru.get('b'), lru.get('c')]).toEqual(['y', undefined]);
  });

  test('forgets what is old', () => {
    const lru = new Lru<number>(10, -1);
    lru.set('a', 1);
    expect(lru.get('a')).toBeUndefined();
  });
});

describe('Quotas', () => {
  const name = repositoryOf('a');
  const blob = (text: string) => sha256(bytesOf(text));

  test('of a repository: what is there already takes no more', () => {
    const quotas = new Quotas({ totalBytes: undefined, rules: [{ matches: one => one === 'a', maxBytes: 100 }] });
    quotas.claim(name, blob('1'), 60, true);
    quotas.claim(name, blob('1'), 60, false);
    expect(() => quotas.claim(name, blob('2'), 60, true)).toThrow(
      'the quota of repository a is used up: 60 B of 100 B are in use, 60 B more do not fit',
    );
    quotas.claim(repositoryOf('b'), blob('2'), 1000, true);
    quotas.release(name, blob('1'));
    quotas.claim(name, blob('2'), 60, false);
    expect(quotas.usedBy(name)).toBe(60);
  });

  test('of all: bytes that are shared count once', () => {
    const quotas = new Quotas({ totalBytes: 100, rules: [] });
    quotas.claim(name, blob('1'), 80, true);
    quotas.claim(repositoryOf('b'), blob('1'), 80, false);
    expect(quotas.totalBytes).toBe(80);
    expect(() => quotas.claim(name, blob('2'), 30, true)).toThrow("the registry's quota is used up");
    quotas.releaseBytes(blob('1'));
    quotas.claim(name, blob('2'), 30, true);
    expect(quotas.totalBytes).toBe(30);
  });

  test('what cannot fit is refused before it is sent', () => {
    const quotas = new Quotas({ totalBytes: 100, rules: [] });
    quotas.expect(name, 100);
    expect(() => quotas.expect(name, 101)).toThrow('used up');
  });
});

describe('Guard', () => {
  const name = repositoryOf('a');

  test('alone waits for those who share, and the next sharers wait for it', async () => {
    const guard = new Guard();
    const order: string[] = [];
    const first = Promise.withResolvers<void>();
    const sharing = guard.shared(name, async () => {
      await first.promise;
      order.push('shared');
    });
    const alone = guard.alone(name, () => Promise.resolve(void order.push('alone')));
    const late = guard.shared(name, () => Promise.resolve(void order.push('late')));
    await guard.shared(repositoryOf('b'), () => Promise.resolve(void order.push('other')));
    first.resolve();
    await Promise.all([sharing, alone, late]);
    expect(order).toEqual(['other', 'shared', 'alone', 'late']);
  });

  test('a failure frees it', async () => {
    const guard = new Guard();
    await guard.alone(name, () => Promise.reject(new Error('x'))).catch(() => undefined);
    await guard.shared(name, () => Promise.reject(new Error('x'))).catch(() => undefined);
    expect(await guard.alone(name, () => Promise.resolve('free'))).toBe('free');
  });

  test('notes what is tied while somebody listens', () => {
    const guard = new Guard();
    const [before, during] = [sha256('before'), sha256('during')];
    guard.noteTied(before);
    using noted = guard.noteFromNow();
    guard.noteTied(during);
    expect([noted.has(before), noted.has(during)]).toEqual([false, true]);
  });
});

test('metrics in the form of Prometheus', async () => {
  const metrics = new Metrics();
  metrics.describe('requests_total', 'counter', 'Requests.');
  metrics.add('requests_total', { code: '200', path: 'a"b\\c' });
  metrics.add('requests_total', { code: '200', path: 'a"b\\c' }, 2);
  metrics.describe('seconds', 'histogram', 'Time.');
  metrics.observe('seconds', { m: 'GET' }, 0.002);
  metrics.observe('seconds', { m: 'GET' }, 100);
  metrics.gauge('open', 'Open things.', () => 7);
  const lines = (await metrics.text()).split('\n');
  expect(lines).toContain('requests_total{code="200",path="a\\"b\\\\c"} 3');
  expect(lines).toContain('# TYPE seconds histogram');
  expect(lines).toContain('seconds_bucket{m="GET",le="0.001"} 0');
  expect(lines).toContain('seconds_bucket{m="GET",le="0.0025"} 1');
  expect(lines).toContain('seconds_bucket{m="GET",le="60"} 1');
  expect(lines).toContain('seconds_bucket{m="GET",le="+Inf"} 2');
  expect(lines).toContain('seconds_count{m="GET"} 2');
  expect(lines).toContain('open 7');
});
