import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'bun:test';
import type { RecordStore } from '#core/records.ts';
import { BuildHistory, type EndedBuild } from './build-history.ts';
import type { HistoryEvent } from './build-record.ts';

/** Records in memory: everything else about them is the business of their own tests. */
function memoryRecords(): RecordStore {
  const tables = new Map<string, Map<string, unknown>>();
  return {
    table<T>(noun: string) {
      const rows = (tables.get(noun) ?? tables.set(noun, new Map()).get(noun)) as Map<string, T>;
      return {
        get: (key: string) => rows.get(key),
        put: (key: string, value: T) => void rows.set(key, value),
        delete: (key: string) => rows.delete(key),
        list: () => [...rows].map(([key, value]) => ({ key, value })),
      };
    },
    transaction: action => action(),
    close: () => undefined,
  };
}

describe('BuildHistory', () => {
  let dir = '';
  const warnings: string[] = [];
  const log = { warn: (text: string) => void warnings.push(text) };
  beforeEach(() => {
    dir = mkdtempSync('/tmp/berth-history-');
  });
  afterEach(() => rmSync(dir, { recursive: true, force: true }));

  const begun = { frontend: 'dockerfile.v0', options: {}, exporters: [], createdAt: '2030-01-01T00:00:00.000Z' };
  const ended = (ref: string, log: string, completedAt = `2030-01-01T00:00:00.${ref.padStart(3, '0')}Z`): EndedBuild => ({
    ...begun,
    ref,
    completedAt,
    response: {},
    steps: { total: 1, completed: 1, cached: 0, warnings: 0 },
    documents: { logs: { mediaType: 'text/plain', bytes: Buffer.from(log) }, attestations: {} },
  });

  test('tells of a build when it begins, when it has ended and when it is forgotten', async () => {
    const history = new BuildHistory(dir, memoryRecords(), log);
    const events: HistoryEvent[] = [];
    using _listening = history.listen(event => events.push(event));
    history.begin({ ...begun, ref: '1' });
    expect(history.find('1')?.completedAt).toBeUndefined();
    expect(history.delete('1')).rejects.toThrow('under way');
    await history.end(ended('1', 'said'));
    history.pin('1', true);
    await history.delete('1');
    expect(events.map(({ kind, record }) => [kind, record.generation])).toEqual([
      ['started', 0],
      ['complete', 1],
      ['complete', 2],
      ['deleted', 2],
    ]);
    expect(history.list()).toEqual([]);
    expect(readdirSync(dir)).toEqual([]);
  });

  test('what has ended is there after a restart, and of what was half written nothing', async () => {
    const records = memoryRecords();
    const history = new BuildHistory(dir, records, log);
    history.begin({ ...begun, ref: '1' });
    await history.end(ended('1', 'said'));
    history.begin({ ...begun, ref: '2' });
    writeFileSync(join(dir, 'abc.tmp'), 'half');
    const again = new BuildHistory(dir, records, log);
    await again.recover();
    expect(again.list().map(({ ref }) => ref)).toEqual(['1']);
    const { path } = again.document(again.find('1')?.documents.logs?.digest ?? '');
    expect(readFileSync(path, 'utf8')).toBe('said');
    expect(readdirSync(dir)).toHaveLength(1);
    expect(() => again.document('sha256:none')).toThrow('not found');
  });

  test('keeps only so many, and so much of them; what is pinned does not count', async () => {
    const history = new BuildHistory(dir, memoryRecords(), log, { records: 2, bytes: 10 });
    await history.end(ended('1', 'a'));
    history.pin('1', true);
    for (const ref of ['2', '3', '4']) await history.end(ended(ref, ref));
    expect(history.list().map(({ ref }) => ref)).toEqual(['1', '3', '4']);
    await history.end(ended('5', 'larger than all of it'));
    expect(history.list().map(({ ref }) => ref)).toEqual(['1', '5']);
    await history.end(ended('6', 'x'));
    expect(history.list().map(({ ref }) => ref)).toEqual(['1', '6']);
  });

  test('two builds that said the same have one document, which goes with the last of them', async () => {
    const history = new BuildHistory(dir, memoryRecords(), log);
    await history.end(ended('1', 'same'));
    await history.end(ended('2', 'same'));
    await history.delete('1');
    expect(readdirSync(dir)).toHaveLength(1);
    await history.delete('2');
    expect(readdirSync(dir)).toEqual([]);
  });

  test('pruning forgets what ended long enough ago and is not pinned', async () => {
    const history = new BuildHistory(dir, memoryRecords(), log);
    const hourAgo = new Date(Date.now() - 3_600_000).toISOString();
    await history.end(ended('1', 'a', hourAgo));
    await history.end(ended('2', 'b', hourAgo));
    await history.end(ended('3', 'c', new Date().toISOString()));
    history.pin('2', true);
    await history.prune(1_800_000);
    expect(history.list().map(({ ref }) => ref)).toEqual(['2', '3']);
    await history.prune(0);
    expect(history.list().map(({ ref }) => ref)).toEqual(['2']);
  });

  test('a record that cannot be written fails no build', async () => {
    const history = new BuildHistory(join(dir, 'not', 'there'), memoryRecords(), log);
    history.begin({ ...begun, ref: '1' });
    await history.end(ended('1', 'said'));
    expect([history.list(), warnings]).toEqual([[], ['a build is not remembered']]);
  });
});
