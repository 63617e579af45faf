import { expect, test } from 'bun:test';
import type { CacheEntry } from './list.ts';
import { choose, type PruneOptions } from './prune.ts';

const now = Date.parse('2026-01-10T00:00:00Z');
const entry = (id: string, more: Partial<CacheEntry> = {}): CacheEntry => ({
  id,
  parents: [],
  type: 'regular',
  description: `RUN ${id}`,
  inUse: false,
  shared: false,
  sizeBytes: 10,
  createdAt: '2026-01-01T00:00:00Z',
  lastUsedAt: '2026-01-05T00:00:00Z',
  usageCount: 1,
  handle: { kind: 'record', key: id },
  ...more,
});
const entries = [
  entry('new', { lastUsedAt: '2026-01-09T12:00:00Z' }),
  entry('old', { lastUsedAt: '2026-01-02T00:00:00Z' }),
  entry('used', { inUse: true }),
  entry('shared', { shared: true, sizeBytes: 1000 }),
  entry('mount', { type: 'exec.cachemount', parents: [], description: 'cached mount /x' }),
];
const chosen = (more: Partial<PruneOptions>, freeBytes = 0): string[] =>
  choose(entries, { all: false, filters: {}, ...more }, { nowMs: now, freeBytes }).map(({ id }) => id);
const room = (more: Partial<NonNullable<PruneOptions['room']>>) => ({
  room: { reservedBytes: 0, maxUsedBytes: 0, minFreeBytes: 0, ...more },
});

test('what is in use stays, what images have too unless all was asked for; the longest unused goes first', () => {
  expect(chosen({})).toEqual(['old', 'mount', 'new']);
  expect(chosen({ all: true })).toEqual(['old', 'shared', 'mount', 'new']);
});

test('the cache may keep so much of what only it has', () => {
  expect(chosen(room({ reservedBytes: 40 }))).toEqual([]);
  expect(chosen(room({ reservedBytes: 39 }))).toEqual(['old']);
  expect(chosen(room({ reservedBytes: 15 }))).toEqual(['old', 'mount', 'new']);
  expect(chosen(room({ maxUsedBytes: 30 }))).toEqual(['old']);
  expect(chosen(room({ maxUsedBytes: 5, reservedBytes: 30 }))).toEqual(['old']);
});

test('so much of the disk is made free, but not more than is reserved is taken', () => {
  expect(chosen(room({ minFreeBytes: 100 }), 100)).toEqual([]);
  expect(chosen(room({ minFreeBytes: 100 }), 90)).toEqual(['old']);
  expect(chosen(room({ minFreeBytes: 100 }), 85)).toEqual(['old', 'mount']);
  expect(chosen(room({ minFreeBytes: 1000, reservedBytes: 30 }), 0)).toEqual(['old']);
  expect(chosen(room({ minFreeBytes: 100, maxUsedBytes: 20 }), 95)).toEqual(['old', 'mount']);
});

test('filters all have to match', () => {
  expect(chosen({ filters: { unusedForMs: 24 * 3_600_000 } })).toEqual(['old', 'mount']);
  expect(chosen({ filters: { ids: ['ol', 'ne'], descriptions: ['RUN'] } })).toEqual(['old', 'new']);
  expect(chosen({ filters: { types: ['exec.cachemount'] } })).toEqual(['mount']);
  expect(chosen({ all: true, filters: { shared: true } })).toEqual(['shared']);
  expect(chosen({ filters: { ids: [] } })).toEqual([]);
});
