/** The machine that everything runs on. Read when asked: memory may be hot-plugged, a setting changed. */
export interface Machine {
  facts(): Promise<MachineFacts>;
}

export interface MachineFacts {
  /** As `uname -r`. */
  readonly kernelVersion: string;
  /** As /etc/os-release names it: `Debian GNU/Linux 12 (bookworm)`. */
  readonly operatingSystem: string;
  readonly osVersion: string;
  /** As `uname -m`: x86_64, aarch64. */
  readonly machine: string;
  readonly hostname: string;
  readonly cpuCount: number;
  readonly memoryBytes: number;
  readonly ipv4Forwarding: boolean;
  /** Descriptors this process has open. */
  readonly openFiles: number;
  /** Threads of this process. */
  readonly threads: number;
}

/** A device node of the host. */
export interface HostDevice {
  readonly path: string;
  readonly type: 'c' | 'b';
  readonly major: number;
  readonly minor: number;
  readonly fileMode: number;
  readonly uid: number;
  readonly gid: number;
}
