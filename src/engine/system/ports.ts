/** What limits the kernel's control groups can set. */
export interface CgroupFacts {
  readonly version: 1 | 2;
  readonly memoryLimit: boolean;
  readonly swapLimit: boolean;
  readonly oomKillDisable: boolean;
  readonly cpuShares: boolean;
  readonly cpuCfsQuota: boolean;
  readonly cpuSet: boolean;
  readonly pidsLimit: boolean;
}

export interface RuntimeFacts {
  readonly name: string;
  readonly path: string;
  readonly args: readonly string[];
}

/** A program the engine stands on, with its version. */
export interface Component {
  readonly name: string;
  readonly version: string;
}

export interface ContainerCounts {
  readonly total: number;
  readonly running: number;
  readonly paused: number;
  readonly stopped: number;
}

/** The daemon's settings, as far as they are told. They may change with a reload. */
export interface DaemonSettings {
  readonly debug: boolean;
  readonly labels: readonly string[];
  readonly dataRoot: string;
  readonly storageDriver: string;
  readonly storageStatus: readonly (readonly [name: string, value: string])[];
  readonly loggingDriver: string;
  readonly runtimes: readonly RuntimeFacts[];
  readonly defaultRuntime: string;
  readonly initBinary: string;
  readonly registryMirrors: readonly string[];
  readonly insecureRegistries: readonly string[];
  readonly addressPools: readonly { readonly base: string; readonly size: number }[];
  readonly proxies: { readonly http: string; readonly https: string; readonly none: string };
  readonly volumeDrivers: readonly string[];
  readonly networkDrivers: readonly string[];
  readonly logDrivers: readonly string[];
  readonly cdiSpecDirs: readonly string[];
  /** Qualified names of the devices that the files in those folders describe. */
  readonly discoveredDevices: readonly string[];
  /** Such as `name=seccomp,profile=builtin`. */
  readonly securityOptions: readonly string[];
  /** TCP addresses at which anybody may use the API, with TLS but without client certificates, or with neither. */
  readonly openAddresses: readonly { readonly address: string; readonly encrypted: boolean }[];
}
