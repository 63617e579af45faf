import { existsSync, readFileSync } from 'node:fs';
import type { Hierarchies } from './hierarchies.ts';

/** Which limits the kernel can enforce here. */
export interface SupportedLimits {
  readonly version: 1 | 2;
  readonly memoryLimit: boolean;
  readonly memoryReservation: boolean;
  readonly memorySwappiness: boolean;
  readonly swapLimit: boolean;
  readonly oomKillDisable: boolean;
  readonly cpuCfsPeriod: boolean;
  readonly cpuCfsQuota: boolean;
  readonly cpuRealtime: boolean;
  readonly cpuShares: boolean;
  readonly cpuSet: boolean;
  readonly pidsLimit: boolean;
  readonly blkioWeight: boolean;
  readonly blkioThrottle: boolean;
}

export function limitsSupported(hierarchies: Hierarchies): SupportedLimits {
  return hierarchies.version === 'v2' ? unifiedLimits(hierarchies.unified ?? '') : controllerLimits(hierarchies);
}

function controllerLimits({ controllers }: Hierarchies): SupportedLimits {
  const has = (controller: string, file: string): boolean => {
    const mount = controllers.get(controller);
    return mount !== undefined && existsSync(`${mount}/${file}`);
  };
  return {
    version: 1,
    memoryLimit: has('memory', 'memory.limit_in_bytes'),
    memoryReservation: has('memory', 'memory.soft_limit_in_bytes'),
    memorySwappiness: has('memory', 'memory.swappiness'),
    swapLimit: has('memory', 'memory.memsw.limit_in_bytes'),
    oomKillDisable: has('memory', 'memory.oom_control'),
    cpuCfsPeriod: has('cpu', 'cpu.cfs_period_us'),
    cpuCfsQuota: has('cpu', 'cpu.cfs_quota_us'),
    cpuRealtime: has('cpu', 'cpu.rt_period_us'),
    cpuShares: has('cpu', 'cpu.shares'),
    cpuSet: has('cpuset', 'cpuset.cpus'),
    pidsLimit: controllers.has('pids'),
    // Weights of BFQ are beyond crun in a hierarchy of v1, and Docker does not set them there.
    blkioWeight: has('blkio', 'blkio.weight'),
    blkioThrottle: has('blkio', 'blkio.throttle.read_bps_device'),
  };
}

function unifiedLimits(mount: string): SupportedLimits {
  const available = new Set(readFileSync(`${mount}/cgroup.controllers`, 'utf8').trim().split(' '));
  const [memory, cpu, io] = [available.has('memory'), available.has('cpu'), available.has('io')];
  return {
    version: 2,
    memoryLimit: memory,
    memoryReservation: memory,
    // Neither exists in a unified tree.
    memorySwappiness: false,
    oomKillDisable: false,
    cpuRealtime: false,
    swapLimit: memory && hasSwapAccounting(mount),
    cpuCfsPeriod: cpu,
    cpuCfsQuota: cpu,
    cpuShares: cpu,
    cpuSet: available.has('cpuset'),
    pidsLimit: available.has('pids'),
    blkioWeight: io,
    blkioThrottle: io,
  };
}

/** The root has no memory files: our own cgroup tells, and where that is the root, the kernel's command line. */
function hasSwapAccounting(mount: string): boolean {
  const own = /^0::(.*)$/m.exec(readFileSync('/proc/self/cgroup', 'utf8'))?.[1] ?? '/';
  if (own !== '/' && existsSync(`${mount}${own}/memory.current`)) return existsSync(`${mount}${own}/memory.swap.max`);
  return !/\bswapaccount=(0|false)\b/.test(readFileSync('/proc/cmdline', 'utf8'));
}
