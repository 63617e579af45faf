import { expect, test } from 'bun:test';
import type { ContainerChanges, HostConfig } from './model.ts';
import { changedResources } from './resources.ts';
import { aHostConfig, someHost } from './test-values.ts';

const changed = (changes: ContainerChanges, before: Partial<HostConfig> = {}) =>
  changedResources(changes, { ...aHostConfig(before), ...changes }, someHost());

test('only what changes is told', () => {
  expect(changed({ restartPolicy: { name: 'always', maximumRetryCount: 0 } }, { memoryBytes: 1, cpuShares: 2 })).toEqual({});
  expect(changed({ cpuShares: 512 }, { memoryBytes: 1, cpusetCpus: '0' })).toEqual({ cpu: { shares: 512 } });
  expect(changed({ cpusetCpus: '0-1', blkioWeight: 300 })).toEqual({ cpu: { cpus: '0-1' }, blockIO: { weight: 300 } });
  expect(changed({ memoryReservationBytes: 7 }, { memoryBytes: 10 })).toEqual({ memory: { reservation: 7 } });
});

test('memory and swap come together, and so do a quota and its period', () => {
  expect(changed({ memorySwapBytes: 30 }, { memoryBytes: 10, memorySwapBytes: 20 })).toEqual({ memory: { limit: 10, swap: 30 } });
  expect(changed({ memoryBytes: 15 }, { memoryBytes: 10, memorySwapBytes: -1 })).toEqual({ memory: { limit: 15, swap: -1 } });
  expect(changed({ cpuPeriod: 50_000 }, { cpuQuota: 20_000 })).toEqual({ cpu: { period: 50_000, quota: 20_000 } });
  expect(changed({ nanoCpus: 5e8 })).toEqual({ cpu: { period: 100_000, quota: 50_000 } });
});

test('no quota any more has to be said', () => {
  expect(changed({ cpuQuota: -1 }, { cpuQuota: 20_000, cpuPeriod: 50_000 })).toEqual({ cpu: { period: 50_000, quota: -1 } });
  expect(changed({ cpuPeriod: 40_000 }, { cpuQuota: -1 })).toEqual({ cpu: { period: 40_000 } });
});

test('no limit of processes has to be said', () => {
  expect(changed({ pidsLimit: 0 }, { pidsLimit: 20 })).toEqual({ pids: { limit: -1 } });
  expect(changed({ pidsLimit: 30 })).toEqual({ pids: { limit: 30 } });
});
