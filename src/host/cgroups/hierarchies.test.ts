import { expect, test } from 'bun:test';
import { controllersOf, parseHierarchies } from './hierarchies.ts';

const known = ['cpu', 'cpuacct', 'memory', 'hugetlb'];

test('parseHierarchies() knows a unified host', () => {
  const found = parseHierarchies('cgroup2 /sys/fs/cgroup cgroup2 rw,nosuid 0 0\n', known);
  expect(found).toEqual({ version: 'v2', controllers: new Map(), unified: '/sys/fs/cgroup' });
});

test('parseHierarchies() lists controllers, also those mounted together, and named hierarchies', () => {
  const mounts = [
    'tmpfs /sys/fs/cgroup tmpfs rw 0 0',
    'cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,relatime,cpu,cpuacct 0 0',
    'cgroup /sys/fs/cgroup/systemd cgroup rw,name=systemd 0 0',
    'cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0',
    'cgroup /elsewhere/memory cgroup rw,memory 0 0',
  ].join('\n');
  const found = parseHierarchies(mounts, known);
  expect(found.version).toBe('v1');
  expect(found.unified).toBe('/sys/fs/cgroup/unified');
  expect(Object.fromEntries(found.controllers)).toEqual({
    cpu: '/sys/fs/cgroup/cpu,cpuacct',
    cpuacct: '/sys/fs/cgroup/cpu,cpuacct',
    'name=systemd': '/sys/fs/cgroup/systemd',
  });
});

test('controllersOf() tells what is enabled and where', () => {
  const text = '#subsys_name\thierarchy\tnum_cgroups\tenabled\ncpu\t1\t3\t1\nhugetlb\t0\t1\t0\n';
  expect(controllersOf(text)).toEqual([
    { name: 'cpu', hierarchy: 1, enabled: true },
    { name: 'hugetlb', hierarchy: 0, enabled: false },
  ]);
});
