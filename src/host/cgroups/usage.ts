import type { BlockIoCount, BlockIoCounter, CpuUsage, MemoryUsage, ResourceUsage } from '#core/usage.ts';
import { multiply, readKernelFile, toCount, toCounts } from './counters.ts';
import type { Hierarchies } from './hierarchies.ts';

// USER_HZ, the unit of cpuacct.stat, on every architecture.
const nanosecondsPerTick = 10_000_000;
const everything = 2n ** 64n - 1n;

/** What the kernel calls the counts of memory.stat that clients know. */
const controllerMemory = [
  ...['cache', 'rss', 'rss_huge', 'mapped_file', 'dirty', 'writeback', 'pgpgin', 'pgpgout', 'pgfault', 'pgmajfault'],
  ...['inactive_anon', 'active_anon', 'inactive_file', 'active_file', 'unevictable'],
];
const controllerMemoryNames = [
  ...controllerMemory,
  ...['hierarchical_memory_limit', 'hierarchical_memsw_limit'],
  ...controllerMemory.map(name => `total_${name}`),
];
const unifiedMemoryNames = [
  ...['anon', 'file', 'kernel_stack', 'slab', 'sock', 'shmem', 'file_mapped', 'file_dirty', 'file_writeback', 'anon_thp'],
  ...['inactive_anon', 'active_anon', 'inactive_file', 'active_file', 'unevictable', 'slab_reclaimable', 'slab_unreclaimable'],
  ...['pgfault', 'pgmajfault', 'workingset_refault', 'workingset_activate', 'workingset_nodereclaim', 'pgrefill', 'pgscan', 'pgsteal'],
  ...['pgactivate', 'pgdeactivate', 'pglazyfree', 'pglazyfreed', 'thp_fault_alloc', 'thp_collapse_alloc'],
];

/** Reads the counts of a cgroup: about twenty files, a tenth of a millisecond. Undefined when there is no such cgroup. */
export function readUsage(hierarchies: Hierarchies, path: string): ResourceUsage | undefined {
  return hierarchies.version === 'v2' ? readUnified(`${hierarchies.unified ?? ''}${path}`) : readControllers(hierarchies, path);
}

function readControllers({ controllers }: Hierarchies, path: string): ResourceUsage | undefined {
  const read = (controller: string, file: string): string | undefined => {
    const mount = controllers.get(controller);
    return mount === undefined ? undefined : readKernelFile(`${mount}${path}/${file}`);
  };
  const total = read('cpuacct', 'cpuacct.usage');
  const pids = read('pids', 'pids.current');
  if (total === undefined && pids === undefined) return undefined;
  const limit = read('pids', 'pids.max');
  return {
    cpu: controllerCpu(read, total),
    memory: controllerMemoryUsage(read),
    blockIo: controllerBlockIo(read),
    processes: { current: toCount(pids), limit: limit === undefined || limit === 'max' ? undefined : toCount(limit) },
  };
}

type Read = (controller: string, file: string) => string | undefined;

function controllerCpu(read: Read, total: string | undefined): CpuUsage {
  const times = toCounts(read('cpuacct', 'cpuacct.stat') ?? '');
  const perCpu = read('cpuacct', 'cpuacct.usage_percpu');
  const throttling = toCounts(read('cpu', 'cpu.stat') ?? '');
  return {
    totalNs: toCount(total),
    kernelNs: multiply(times.get('system') ?? 0, nanosecondsPerTick),
    userNs: multiply(times.get('user') ?? 0, nanosecondsPerTick),
    perCpuNs: perCpu === undefined ? undefined : perCpu.trim().split(' ').map(toCount),
    throttling: {
      periods: throttling.get('nr_periods') ?? 0,
      throttledPeriods: throttling.get('nr_throttled') ?? 0,
      throttledNs: throttling.get('throttled_time') ?? 0,
    },
  };
}

function controllerMemoryUsage(read: Read): MemoryUsage {
  const details = toCounts(read('memory', 'memory.stat') ?? '');
  return {
    usageBytes: toCount(read('memory', 'memory.usage_in_bytes')),
    maxUsageBytes: toCount(read('memory', 'memory.max_usage_in_bytes')),
    limitBytes: toCount(read('memory', 'memory.limit_in_bytes')),
    failures: toCount(read('memory', 'memory.failcnt')),
    details: Object.fromEntries(controllerMemoryNames.map(name => [name, details.get(name) ?? 0])),
  };
}

/** CFQ, where a kernel still has it, counts everything; throttling counts bytes and operations. */
const cfqFiles = {
  sectors: 'sectors_recursive',
  serviceBytes: 'io_service_bytes_recursive',
  serviced: 'io_serviced_recursive',
  queued: 'io_queued_recursive',
  serviceTime: 'io_service_time_recursive',
  waitTime: 'io_wait_time_recursive',
  merged: 'io_merged_recursive',
  time: 'time_recursive',
} as const satisfies Record<BlockIoCounter, string>;
const none: ResourceUsage['blockIo'] = {
  serviceBytes: [],
  serviced: [],
  queued: [],
  serviceTime: [],
  waitTime: [],
  merged: [],
  time: [],
  sectors: [],
};

function controllerBlockIo(read: Read): ResourceUsage['blockIo'] {
  const counts = (file: string): BlockIoCount[] | undefined => {
    const text = read('blkio', `blkio.${file}`);
    return text === undefined ? undefined : parseBlockIo(text);
  };
  const serviced = counts(cfqFiles.serviced);
  if (serviced !== undefined && serviced.length > 0) {
    const all = Object.entries(cfqFiles).map(([name, file]) => [name, counts(file) ?? []]);
    return Object.fromEntries(all) as unknown as ResourceUsage['blockIo'];
  }
  return {
    ...none,
    serviceBytes: counts('throttle.io_service_bytes_recursive') ?? [],
    serviced: counts('throttle.io_serviced_recursive') ?? [],
  };
}

/** Lines `254:0 Read 4096`, and one `Total 4096`. */
function parseBlockIo(text: string): BlockIoCount[] {
  return text.split('\n').flatMap(line => {
    const match = /^(\d+):(\d+) (?:([A-Za-z]+) )?(\d+)$/.exec(line);
    return match === null
      ? []
      : [{ major: Number(match[1]), minor: Number(match[2]), operation: match[3] ?? '', value: toCount(match[4]) }];
  });
}

function readUnified(directory: string): ResourceUsage | undefined {
  const stat = readKernelFile(`${directory}/cpu.stat`);
  if (stat === undefined) return undefined;
  const read = (file: string): string | undefined => readKernelFile(`${directory}/${file}`);
  const cpu = toCounts(stat);
  const nanoseconds = (name: string) => multiply(cpu.get(name) ?? 0, 1000);
  const limit = read('pids.max');
  return {
    cpu: {
      totalNs: nanoseconds('usage_usec'),
      kernelNs: nanoseconds('system_usec'),
      userNs: nanoseconds('user_usec'),
      perCpuNs: undefined,
      throttling: {
        periods: cpu.get('nr_periods') ?? 0,
        throttledPeriods: cpu.get('nr_throttled') ?? 0,
        throttledNs: nanoseconds('throttled_usec'),
      },
    },
    memory: unifiedMemoryUsage(read),
    blockIo: unifiedBlockIo(read('io.stat') ?? ''),
    // As clients know it from this version of control groups.
    processes: { current: toCount(read('pids.current')), limit: limit === 'max' ? everything : toCount(limit) },
  };
}

function unifiedMemoryUsage(read: (file: string) => string | undefined): MemoryUsage {
  const details = toCounts(read('memory.stat') ?? '');
  const limit = read('memory.max');
  return {
    usageBytes: toCount(read('memory.current')),
    maxUsageBytes: undefined,
    limitBytes: limit === undefined || limit === 'max' ? undefined : toCount(limit),
    failures: toCounts(read('memory.events') ?? '').get('oom') ?? 0,
    details: Object.fromEntries(unifiedMemoryNames.map(name => [name, details.get(name) ?? 0])),
  };
}

/** Lines `254:0 rbytes=1 wbytes=2 rios=3 …`. */
function unifiedBlockIo(text: string): ResourceUsage['blockIo'] {
  const counts = text.split('\n').flatMap(line => {
    const device = /^(\d+):(\d+) /.exec(line);
    if (device === null) return [];
    const value = (name: string) => toCount(new RegExp(` ${name}=(\\d+)`).exec(line)?.[1]);
    const [major, minor] = [Number(device[1]), Number(device[2])];
    return [
      { major, minor, operation: 'read', value: value('rbytes') },
      { major, minor, operation: 'write', value: value('wbytes') },
    ];
  });
  const untold = Object.fromEntries(Object.keys(none).map(name => [name, undefined])) as unknown as ResourceUsage['blockIo'];
  return { ...untold, serviceBytes: counts.length === 0 ? undefined : counts };
}
