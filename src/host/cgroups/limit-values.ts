import { readFileSync, writeFileSync } from 'node:fs';
import { isErrno, unavailable } from '#base/errors.ts';
import type { ResourcesSpec } from '#oci/runtime-spec.ts';
import type { Hierarchies } from './hierarchies.ts';

/** What the files of a cgroup that hold limits say, by path. */
export type LimitValues = Readonly<Record<string, string>>;

const controllerFiles = {
  memory: ['memory.limit_in_bytes', 'memory.memsw.limit_in_bytes', 'memory.soft_limit_in_bytes'],
  cpu: ['cpu.shares', 'cpu.cfs_period_us', 'cpu.cfs_quota_us', 'cpu.rt_period_us', 'cpu.rt_runtime_us'],
  cpuset: ['cpuset.cpus', 'cpuset.mems'],
  pids: ['pids.max'],
  blkio: ['blkio.weight', 'blkio.bfq.weight'],
} as const;
const unifiedFiles = [
  ...['memory.max', 'memory.swap.max', 'memory.low', 'cpu.max', 'cpu.weight', 'cpuset.cpus', 'cpuset.mems', 'pids.max'],
  ...['io.weight', 'io.bfq.weight'],
];

// A limit may have to wait for another: swap and memory bound each other, and so do a quota and its period.
const passes = 3;

/** The limits of a cgroup that a runtime changes when asked to update a container. */
export function readLimits(hierarchies: Hierarchies, path: string): LimitValues {
  return Object.fromEntries(
    limitFiles(hierarchies, path).flatMap(file => {
      const text = readIfThere(file);
      return text === undefined ? [] : [[file, text]];
    }),
  );
}

/** Makes them what they were. Rejects with Unavailable naming those that the kernel does not take. */
export function writeLimits(values: LimitValues): void {
  let refused: string[] = [];
  for (let pass = 0; pass < passes; pass += 1) {
    refused = Object.entries(values).flatMap(([file, text]) => (readIfThere(file) === text || write(file, text) ? [] : [file]));
    if (refused.length === 0) return;
  }
  throw unavailable(`the kernel did not take the earlier limits back: ${refused.join(', ')}`);
}

/** Limits that an update takes away. */
export type LiftedLimit = 'processes' | 'cpuQuota';

/** Not every runtime has a word for "no limit any more": crun 1.8 knows none for processes, and none for a quota in a hierarchy of v1. */
export function splitLifted({ pids, cpu, ...others }: ResourcesSpec): {
  readonly lifted: readonly LiftedLimit[];
  readonly others: ResourcesSpec;
} {
  const { quota, ...cpuOthers } = cpu ?? {};
  const lifted = { processes: pids !== undefined && pids.limit < 0, cpuQuota: quota !== undefined && quota < 0 };
  const keptCpu = { ...cpuOthers, ...(quota === undefined || lifted.cpuQuota ? {} : { quota }) };
  return {
    lifted: (['processes', 'cpuQuota'] as const).filter(limit => lifted[limit]),
    others: {
      ...others,
      ...(pids === undefined || lifted.processes ? {} : { pids }),
      ...(Object.keys(keptCpu).length === 0 ? {} : { cpu: keptCpu }),
    },
  };
}

export function liftLimits({ version, controllers, unified }: Hierarchies, path: string, lifted: readonly LiftedLimit[]): void {
  for (const limit of lifted) {
    const [controller, file, text] = limit === 'processes' ? ['pids', 'pids.max', 'max'] : ['cpu', 'cpu.cfs_quota_us', '-1'];
    if (version === 'v1') writeFileSync(`${controllers.get(controller) ?? ''}${path}/${file}`, text);
    else writeFileSync(`${unified ?? ''}${path}/${limit === 'processes' ? 'pids.max' : 'cpu.max'}`, 'max');
  }
}

function limitFiles({ version, controllers, unified }: Hierarchies, path: string): string[] {
  if (version === 'v2') return unifiedFiles.map(name => `${unified ?? ''}${path}/${name}`);
  return Object.entries(controllerFiles).flatMap(([controller, names]) => {
    const mount = controllers.get(controller);
    return mount === undefined ? [] : names.map(name => `${mount}${path}/${name}`);
  });
}

function readIfThere(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8').trim();
  } catch (err) {
    if (isErrno(err, 'ENOENT', 'ENODEV', 'EOPNOTSUPP', 'ENOTSUP')) return undefined;
    throw err;
  }
}

/** Whether the kernel took it. A line break alone is how an empty value is written. */
function write(file: string, text: string): boolean {
  try {
    writeFileSync(file, `${text}\n`);
    return true;
  } catch (err) {
    if (isErrno(err, 'ENOENT', 'ENODEV')) return true;
    if (isErrno(err, 'EINVAL', 'EBUSY', 'ERANGE', 'EPERM', 'EACCES')) return false;
    throw err;
  }
}
