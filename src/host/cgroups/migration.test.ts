import { expect, test } from 'bun:test';
import { readFileSync } from 'node:fs';
import { needs } from '#test/helpers/needs.ts';
import { readHierarchies } from './hierarchies.ts';
import { MigrationStarter, ownDirectory } from './migration.ts';

const hybrid = {
  version: 'v1',
  controllers: new Map([
    ['cpu', '/sys/fs/cgroup/cpu,cpuacct'],
    ['name=systemd', '/sys/fs/cgroup/systemd'],
  ]),
  unified: '/sys/fs/cgroup/unified',
} as const;

test('finds a cgroup of this process in the first hierarchy that is mounted', () => {
  expect(ownDirectory(hybrid, '12:pids:/a\n3:cpu,cpuacct:/system.slice/x:1\n0::/b\n')).toBe('/sys/fs/cgroup/cpu,cpuacct/system.slice/x:1');
  expect(ownDirectory(hybrid, '1:name=systemd:/\n')).toBe('/sys/fs/cgroup/systemd');
  expect(ownDirectory(hybrid, '0::/user.slice\n')).toBe('/sys/fs/cgroup/unified/user.slice');
  expect(ownDirectory(hybrid, '0::/../outside\n')).toBeUndefined();
  expect(ownDirectory({ version: 'v2', controllers: new Map(), unified: undefined }, '0::/\n')).toBeUndefined();
});

needs('root').test('moves this process to where it is', async () => {
  const before = readFileSync('/proc/self/cgroup', 'utf8');
  const starter = new MigrationStarter(readHierarchies());
  await Promise.all([starter.begin(), starter.begin()]);
  expect(readFileSync('/proc/self/cgroup', 'utf8')).toBe(before);
});
