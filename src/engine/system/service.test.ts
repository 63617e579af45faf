import { expect, test } from 'bun:test';
import type { MachineFacts } from '#core/machine.ts';
import type { CgroupFacts } from './ports.ts';
import { createSystemService } from './service.ts';
import type { SystemServiceOptions } from './service.ts';
import { collectWarnings } from './warnings.ts';

const cgroups: CgroupFacts = {
  version: 2,
  memoryLimit: true,
  swapLimit: true,
  oomKillDisable: false,
  cpuShares: true,
  cpuCfsQuota: true,
  cpuSet: true,
  pidsLimit: true,
};
const machine: MachineFacts = {
  kernelVersion: '6.1',
  operatingSystem: 'Debian',
  osVersion: '12',
  machine: 'aarch64',
  hostname: 'host',
  cpuCount: 2,
  memoryBytes: 1,
  ipv4Forwarding: true,
  openFiles: 3,
  threads: 4,
};

const closed = { openAddresses: [] };

test('a machine that lacks nothing gets no warning, a missing limit is named', () => {
  expect(collectWarnings(cgroups, machine, closed)).toEqual([]);
  expect(collectWarnings({ ...cgroups, version: 1, swapLimit: false }, { ...machine, ipv4Forwarding: false }, closed)).toEqual([
    'WARNING: No swap limit support',
    'WARNING: No oom kill disable support',
    'WARNING: IPv4 forwarding is disabled',
  ]);
});

test('an API that is open to everybody is warned of first', () => {
  const openAddresses = [
    { address: '0.0.0.0:2375', encrypted: false },
    { address: '0.0.0.0:2376', encrypted: true },
  ];
  expect(collectWarnings({ ...cgroups, cpuSet: false }, machine, { openAddresses })).toEqual([
    'WARNING: The API is open at http://0.0.0.0:2375 without encryption: whoever can connect is root on this machine',
    'WARNING: The API is open at https://0.0.0.0:2376 without client certificates: whoever can connect is root on this machine',
    'WARNING: No cpuset support',
  ]);
});

test('the programs below are asked once, and again after a failure', async () => {
  let asked = 0;
  const options = {
    id: 'id',
    product: { version: '0.1.0', gitCommit: '', buildTime: '', runtimeVersion: 'bun', experimental: false },
    machine: { facts: () => Promise.resolve(machine) },
    components: () => (++asked === 1 ? Promise.reject(new Error('not yet')) : Promise.resolve([{ name: 'crun', version: '1' }])),
  } as Partial<SystemServiceOptions> as SystemServiceOptions;
  const system = createSystemService(options);
  expect(await system.version().catch(String)).toBe('Error: not yet');
  expect((await system.version()).components).toEqual([{ name: 'crun', version: '1' }]);
  expect((await system.version()).architecture).toBe('arm64');
  expect(asked).toBe(2);
});
