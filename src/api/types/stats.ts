/** A count may be beyond what a number holds: then it is written with all its digits. */
type Count = number;

export interface CpuStats {
  cpu_usage: {
    total_usage: Count;
    percpu_usage?: Count[] | undefined;
    usage_in_kernelmode: Count;
    usage_in_usermode: Count;
  };
  system_cpu_usage?: Count | undefined;
  online_cpus?: number | undefined;
  throttling_data: { periods: Count; throttled_periods: Count; throttled_time: Count };
}

export interface BlkioStatEntry {
  major: number;
  minor: number;
  op: string;
  value: Count;
}

export interface BlkioStats {
  io_service_bytes_recursive: BlkioStatEntry[] | null;
  io_serviced_recursive: BlkioStatEntry[] | null;
  io_queue_recursive: BlkioStatEntry[] | null;
  io_service_time_recursive: BlkioStatEntry[] | null;
  io_wait_time_recursive: BlkioStatEntry[] | null;
  io_merged_recursive: BlkioStatEntry[] | null;
  io_time_recursive: BlkioStatEntry[] | null;
  sectors_recursive: BlkioStatEntry[] | null;
}

export interface MemoryStats {
  usage?: Count | undefined;
  max_usage?: Count | undefined;
  stats?: Record<string, Count> | undefined;
  failcnt?: Count | undefined;
  limit?: Count | undefined;
}

export interface NetworkStats {
  rx_bytes: Count;
  rx_packets: Count;
  rx_errors: Count;
  rx_dropped: Count;
  tx_bytes: Count;
  tx_packets: Count;
  tx_errors: Count;
  tx_dropped: Count;
}

/** GET /containers/{id}/stats, once or once a second. */
export interface ContainerStats {
  /** With a leading slash. */
  name?: string | undefined;
  id?: string | undefined;
  read: string;
  preread: string;
  pids_stats: { current?: Count | undefined; limit?: Count | undefined };
  blkio_stats: BlkioStats;
  /** Of Windows, like the next. */
  num_procs: number;
  storage_stats: Record<string, Count>;
  cpu_stats: CpuStats;
  precpu_stats: CpuStats;
  memory_stats: MemoryStats;
  networks?: Record<string, NetworkStats> | undefined;
}
