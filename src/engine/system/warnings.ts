import type { MachineFacts } from '#core/machine.ts';
import type { CgroupFacts, DaemonSettings } from './ports.ts';

/** What a person should know about this machine before relying on limits, in the words clients show. */
export function collectWarnings(cgroups: CgroupFacts, machine: MachineFacts, settings: Pick<DaemonSettings, 'openAddresses'>): string[] {
  const missing: readonly (readonly [missing: boolean, warning: string])[] = [
    [!cgroups.memoryLimit, 'WARNING: No memory limit support'],
    [!cgroups.swapLimit, 'WARNING: No swap limit support'],
    // The second version of control groups has no such switch; its lack is no news there.
    [!cgroups.oomKillDisable && cgroups.version === 1, 'WARNING: No oom kill disable support'],
    [!cgroups.cpuCfsQuota, 'WARNING: No cpu cfs quota support'],
    [!cgroups.cpuShares, 'WARNING: No cpu shares support'],
    [!cgroups.cpuSet, 'WARNING: No cpuset support'],
    [!cgroups.pidsLimit, 'WARNING: No pids limit support'],
    [!machine.ipv4Forwarding, 'WARNING: IPv4 forwarding is disabled'],
  ];
  return [
    ...settings.openAddresses.map(
      ({ address, encrypted }) =>
        `WARNING: The API is open at ${encrypted ? 'https' : 'http'}://${address} without ${encrypted ? 'client certificates' : 'encryption'}: ` +
        'whoever can connect is root on this machine',
    ),
    ...missing.filter(([isMissing]) => isMissing).map(([, warning]) => warning),
  ];
}
