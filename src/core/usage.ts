/** A whole number from the kernel: a bigint where a number would not hold all its digits. */
export type Count = number | bigint;

/** What a container has used since its start and uses now, as its cgroup counts it. What the kernel does not count is 0, or left out. */
export interface ResourceUsage {
  readonly cpu: CpuUsage;
  readonly memory: MemoryUsage;
  /** By the names that the Engine API has for them. `undefined`: this kernel does not tell, or there is nothing to tell where nothing means that. */
  readonly blockIo: Readonly<Record<BlockIoCounter, readonly BlockIoCount[] | undefined>>;
  readonly processes: { readonly current: Count; readonly limit: Count | undefined };
}

export interface CpuUsage {
  readonly totalNs: Count;
  readonly kernelNs: Count;
  readonly userNs: Count;
  /** By processor; version 1 of control groups only. */
  readonly perCpuNs: readonly Count[] | undefined;
  readonly throttling: { readonly periods: Count; readonly throttledPeriods: Count; readonly throttledNs: Count };
}

export interface MemoryUsage {
  readonly usageBytes: Count;
  /** Version 1 of control groups only. */
  readonly maxUsageBytes: Count | undefined;
  /** Undefined: none. */
  readonly limitBytes: Count | undefined;
  /** How often the limit was hit. */
  readonly failures: Count;
  readonly details: Readonly<Record<string, Count>>;
}

export type BlockIoCounter = 'serviceBytes' | 'serviced' | 'queued' | 'serviceTime' | 'waitTime' | 'merged' | 'time' | 'sectors';

export interface BlockIoCount {
  readonly major: number;
  readonly minor: number;
  readonly operation: string;
  readonly value: Count;
}

export interface InterfaceCounters {
  readonly bytes: Count;
  readonly packets: Count;
  readonly errors: Count;
  readonly dropped: Count;
}

/** What is counted beside cgroups. */
export interface UsageMeter {
  /** Time that all processors of the machine together have run or idled since it started. */
  system(): { readonly cpuNs: Count; readonly onlineCpus: number };
  /** Traffic of the interfaces that networks gave to the namespace of this process, by name. None when the process is gone. */
  interfaces(pid: number): ReadonlyMap<string, { readonly received: InterfaceCounters; readonly sent: InterfaceCounters }>;
}
