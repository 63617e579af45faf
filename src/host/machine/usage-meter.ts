import type { Count, InterfaceCounters, UsageMeter } from '#core/usage.ts';
import { multiply, readKernelFile, toCount } from '#host/cgroups/counters.ts';

// USER_HZ, the unit of /proc/stat, on every architecture.
const nanosecondsPerTick = 10_000_000;

export function createUsageMeter(): UsageMeter {
  return {
    system: () => parseSystemCpu(readKernelFile('/proc/stat') ?? ''),
    interfaces: pid => parseInterfaces(readKernelFile(`/proc/${String(pid)}/net/dev`) ?? ''),
  };
}

/** /proc/stat, proc_stat(5): user, nice, system, idle, iowait, irq and softirq of all processors together; then a line for each. */
export function parseSystemCpu(text: string): { readonly cpuNs: Count; readonly onlineCpus: number } {
  const ticks = /^cpu +(.*)$/m.exec(text)?.[1]?.split(' ').slice(0, 7).map(Number) ?? [];
  const total = ticks.reduce((sum, each) => sum + each, 0);
  return { cpuNs: multiply(total, nanosecondsPerTick), onlineCpus: text.match(/^cpu\d/gm)?.length ?? 0 };
}

/** /proc/PID/net/dev, proc_pid_net(5). Networks call theirs eth0, eth1, …; the kernel may have added tunnels of its own. */
export function parseInterfaces(text: string): ReturnType<UsageMeter['interfaces']> {
  const interfaces = new Map<string, { received: InterfaceCounters; sent: InterfaceCounters }>();
  for (const [, name = '', numbers = ''] of text.matchAll(/^ *(eth\d+): *(.*)$/gm)) {
    const counts = numbers.trim().split(/ +/).map(toCount);
    const from = (first: number): InterfaceCounters => ({
      bytes: counts[first] ?? 0,
      packets: counts[first + 1] ?? 0,
      errors: counts[first + 2] ?? 0,
      dropped: counts[first + 3] ?? 0,
    });
    interfaces.set(name, { received: from(0), sent: from(8) });
  }
  return interfaces;
}
