import { beforeEach, expect, test } from 'bun:test';
import { silentLogger } from '#base/log.ts';
import { type NetworkPlugins, PluginFailure, type RemoteIpam, type RemoteNetworkDriver, type RemoteUndo } from '#core/network-plugins.ts';
import type { RecordTable } from '#core/records.ts';
import { type OwedCall, OwedCalls } from './owed-calls.ts';

let answers: 'heard' | 'refused' | 'away';
let asked: string[];
let kept: Map<string, OwedCall>;
let owed: OwedCalls;
beforeEach(() => {
  answers = 'heard';
  asked = [];
  kept = new Map();
  const records: RecordTable<OwedCall> = {
    get: key => kept.get(key),
    put: (key, value) => void kept.set(key, value),
    delete: key => kept.delete(key),
    list: () => [...kept].map(([key, value]) => ({ key, value })),
  };
  const driver = {
    async undo(undo: RemoteUndo) {
      await Promise.resolve();
      asked.push(undo.call);
      if (answers === 'refused') throw new PluginFailure('FailedPrecondition', 'no');
      if (answers === 'away') throw new PluginFailure('Unavailable', 'nobody there');
    },
  };
  const plugins: NetworkPlugins = {
    network: () => Promise.resolve(driver as RemoteNetworkDriver),
    ipam: () => Promise.resolve(driver as RemoteIpam),
  };
  owed = new OwedCalls(records, plugins, silentLogger);
});

const leave: OwedCall = { plugin: 'p', undo: { call: 'Leave', networkId: 'n', endpointId: 'e' } };
const remove: OwedCall = { plugin: 'p', undo: { call: 'DeleteEndpoint', networkId: 'n', endpointId: 'e' } };
const release: OwedCall = { plugin: 'p', undo: { call: 'ReleaseAddress', poolId: 'x', address: '10.0.0.2' } };

test('what is heard or refused is done with', async () => {
  await owed.tell(leave);
  answers = 'refused';
  await owed.tell(remove);
  expect([asked, kept.size]).toEqual([['Leave', 'DeleteEndpoint'], 0]);
});

test('one that is away is waited for once, and hears everything in its order when it is used next', async () => {
  using calls = owed;
  answers = 'away';
  for (const one of [leave, remove, release]) await calls.tell(one);
  expect([asked, kept.size]).toEqual([['Leave'], 3]);
  expect(await calls.settle('p')).toEqual([]);
  expect([asked.splice(0), kept.size]).toEqual([['Leave', 'Leave'], 3]);
  answers = 'heard';
  expect(await calls.settle('q')).toEqual([]);
  expect(await calls.settle('p')).toHaveLength(3);
  expect([asked.splice(0), kept.size]).toEqual([['Leave', 'DeleteEndpoint', 'ReleaseAddress'], 0]);
  await calls.tell(leave);
  expect(asked).toEqual(['Leave']);
});

test('what is told by two at the same time is told once', async () => {
  using calls = owed;
  for (const one of [leave, release]) calls.add(one);
  await Promise.all([calls.settle('p'), calls.settle()]);
  expect(asked).toEqual(['Leave', 'ReleaseAddress']);
});

test('what is given back only if the daemon ends is not told while it runs', async () => {
  using calls = owed;
  const forget = calls.hold(release);
  expect(await calls.settle('p')).toEqual([]);
  expect(kept.size).toBe(1);
  forget();
  expect([asked, kept.size]).toEqual([[], 0]);
});
