import type { IdRange } from '#core/id-map.ts';
import type { MountSpec } from '#oci/runtime-spec.ts';

/** Parts of /proc and /sys that would tell or do more than a container may know or do. */
export function defaultMaskedPaths(cpuCount: number): string[] {
  return [
    '/proc/acpi',
    '/proc/asound',
    '/proc/interrupts',
    '/proc/kcore',
    '/proc/keys',
    '/proc/latency_stats',
    '/proc/sched_debug',
    '/proc/scsi',
    '/proc/timer_list',
    '/proc/timer_stats',
    '/sys/devices/virtual/powercap',
    '/sys/firmware',
    ...Array.from({ length: cpuCount }, (_, cpu) => `/sys/devices/system/cpu/cpu${String(cpu)}/thermal_throttle`),
  ];
}

export const defaultReadonlyPaths: readonly string[] = ['/proc/bus', '/proc/fs', '/proc/irq', '/proc/sys', '/proc/sysrq-trigger'];

/**
 * Namespaced kernel settings that let unprivileged processes ping and serve low ports, in a network namespace of their own. Only groups that a user
 * namespace knows can be named in it.
 */
export const defaultSysctls = (groups: readonly IdRange[] | undefined): Readonly<Record<string, string>> => ({
  'net.ipv4.ping_group_range': `0 ${String(groups === undefined ? 2_147_483_647 : highestOf(groups))}`,
  'net.ipv4.ip_unprivileged_port_start': '0',
});

/** The last of the ids that are mapped without a gap from 0 on. */
function highestOf(ranges: readonly IdRange[]): number {
  let next = 0;
  for (const { containerId, size } of ranges.toSorted((a, b) => a.containerId - b.containerId)) {
    if (containerId !== next) break;
    next += size;
  }
  return Math.max(0, next - 1);
}

/** The file systems every container has, parents first. */
export function defaultMounts(options: { readonly writable: boolean }): MountSpec[] {
  const access = options.writable ? [] : ['ro'];
  return [
    { destination: '/proc', type: 'proc', source: 'proc', options: ['nosuid', 'noexec', 'nodev'] },
    { destination: '/dev', type: 'tmpfs', source: 'tmpfs', options: ['nosuid', 'strictatime', 'mode=755', 'size=65536k'] },
    {
      destination: '/dev/pts',
      type: 'devpts',
      source: 'devpts',
      options: ['nosuid', 'noexec', 'newinstance', 'ptmxmode=0666', 'mode=0620', 'gid=5'],
    },
    { destination: '/sys', type: 'sysfs', source: 'sysfs', options: ['nosuid', 'noexec', 'nodev', ...access] },
    { destination: '/sys/fs/cgroup', type: 'cgroup', source: 'cgroup', options: ['nosuid', 'noexec', 'nodev', 'relatime', ...access] },
  ];
}
