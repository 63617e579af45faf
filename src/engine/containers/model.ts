import type { EndpointConfig, EndpointState, PortMap } from '#core/network.ts';
import type { ImageHealthcheck } from '#oci/image-config.ts';

/**
 * What a container is. The server translates between these values and the Engine API's JSON (ContainerConfig, HostConfig, MountPoint), whose
 * definitions give the meaning of each field; here every field is present, defaults already applied.
 */
export interface ContainerConfig {
  hostname: string;
  domainname: string;
  user: string;
  attachStdin: boolean;
  attachStdout: boolean;
  attachStderr: boolean;
  exposedPorts: readonly string[];
  tty: boolean;
  openStdin: boolean;
  stdinOnce: boolean;
  env: readonly string[];
  /** Undefined: the image's. */
  cmd: readonly string[] | undefined;
  entrypoint: readonly string[] | undefined;
  /** As the user wrote it. */
  image: string;
  /** Container paths of anonymous volumes. */
  volumes: readonly string[];
  workingDir: string;
  networkDisabled: boolean;
  macAddress: string;
  onBuild: readonly string[] | undefined;
  labels: Readonly<Record<string, string>>;
  stopSignal: string | undefined;
  stopTimeoutSeconds: number | undefined;
  shell: readonly string[] | undefined;
  healthcheck: ImageHealthcheck | undefined;
}

/** What a container may use at most. Zeros, empty texts and undefined: no limit of its own. */
export interface ResourceLimits {
  cpuShares: number;
  memoryBytes: number;
  nanoCpus: number;
  blkioWeight: number;
  blkioWeightDevice: readonly { path: string; weight: number }[];
  blkioDeviceReadBps: readonly ThrottleRule[];
  blkioDeviceWriteBps: readonly ThrottleRule[];
  blkioDeviceReadIops: readonly ThrottleRule[];
  blkioDeviceWriteIops: readonly ThrottleRule[];
  cpuPeriod: number;
  cpuQuota: number;
  cpuRealtimePeriod: number;
  cpuRealtimeRuntime: number;
  cpusetCpus: string;
  cpusetMems: string;
  memoryReservationBytes: number;
  /** -1 unlimited, 0 unset. */
  memorySwapBytes: number;
  memorySwappiness: number | undefined;
  oomKillDisable: boolean | undefined;
  /** 0 and less: unlimited. */
  pidsLimit: number | undefined;
}

export interface HostConfig extends ResourceLimits {
  // resources
  cgroupParent: string;
  devices: readonly DeviceMapping[];
  deviceCgroupRules: readonly string[];
  deviceRequests: readonly DeviceRequest[];
  init: boolean | undefined;
  ulimits: readonly Ulimit[];
  // the rest
  binds: readonly string[];
  containerIdFile: string;
  logConfig: { type: string; config: Readonly<Record<string, string>> };
  /** `bridge`, `none`, `host`, `container:ID`, or a network's name or id; `default` for the default one. */
  networkMode: string;
  portBindings: PortMap;
  restartPolicy: RestartPolicy;
  autoRemove: boolean;
  volumeDriver: string;
  volumesFrom: readonly string[];
  mounts: readonly MountRequest[];
  consoleSize: readonly [height: number, width: number];
  annotations: Readonly<Record<string, string>>;
  capAdd: readonly string[];
  capDrop: readonly string[];
  cgroupnsMode: '' | 'private' | 'host';
  dns: readonly string[];
  dnsOptions: readonly string[];
  dnsSearch: readonly string[];
  extraHosts: readonly string[];
  groupAdd: readonly string[];
  ipcMode: string;
  cgroup: string;
  links: readonly string[];
  oomScoreAdj: number;
  pidMode: string;
  privileged: boolean;
  publishAllPorts: boolean;
  readonlyRootfs: boolean;
  securityOpt: readonly string[];
  storageOpt: Readonly<Record<string, string>>;
  tmpfs: Readonly<Record<string, string>>;
  utsMode: string;
  usernsMode: string;
  shmSizeBytes: number;
  sysctls: Readonly<Record<string, string>>;
  runtime: string;
  isolation: string;
  /** Undefined: the default list. */
  maskedPaths: readonly string[] | undefined;
  readonlyPaths: readonly string[] | undefined;
}

export interface ThrottleRule {
  path: string;
  rate: number;
}

export interface DeviceMapping {
  pathOnHost: string;
  pathInContainer: string;
  cgroupPermissions: string;
}

export interface DeviceRequest {
  driver: string;
  count: number;
  deviceIds: readonly string[];
  capabilities: readonly (readonly string[])[];
  options: Readonly<Record<string, string>>;
}

export interface Ulimit {
  name: string;
  soft: number;
  hard: number;
}

export type RestartPolicyName = 'no' | 'always' | 'unless-stopped' | 'on-failure';

export interface RestartPolicy {
  name: RestartPolicyName;
  maximumRetryCount: number;
}

export type MountType = 'bind' | 'volume' | 'tmpfs' | 'image' | 'cluster' | 'npipe';

/** Engine API: Mount (HostConfig.Mounts). */
export interface MountRequest {
  type: MountType;
  target: string;
  source: string;
  readOnly: boolean;
  consistency: string;
  bindOptions:
    | {
        propagation: string;
        nonRecursive: boolean;
        createMountpoint: boolean;
        readOnlyNonRecursive: boolean;
        readOnlyForceRecursive: boolean;
      }
    | undefined;
  volumeOptions:
    | {
        noCopy: boolean;
        labels: Readonly<Record<string, string>>;
        driverName: string;
        driverOptions: Readonly<Record<string, string>>;
        subpath: string;
      }
    | undefined;
  imageOptions: { subpath: string } | undefined;
  tmpfsOptions: { sizeBytes: number; mode: number; options: readonly (readonly string[])[] } | undefined;
}

/** A resolved mount of a container (Engine API: MountPoint). */
export interface MountPoint {
  type: MountType;
  /** Volume name; empty for binds. */
  name: string;
  /** Host path. */
  source: string;
  destination: string;
  driver: string;
  mode: string;
  readWrite: boolean;
  propagation: string;
  /** Made for this container only: goes with `rm -v` and `--rm`. */
  anonymous: boolean;
  /** Read-only applies to mounts below too. */
  recursiveReadOnly: boolean;
  nonRecursive: boolean;
  subpath: string;
}

/** States that cannot lie. Times are ISO texts; `startedAt` of a container that never ran is the zero time of the API. */
export type ContainerState =
  | { status: 'created'; error?: string; exitCode?: number }
  /** `oomKilled`: a process of it was ended for want of memory. `pausedBy`: the daemon itself paused it, for a moment. */
  | { status: 'running'; pid: number; startedAt: string; paused: boolean; oomKilled?: boolean; pausedBy?: 'commit' }
  | { status: 'restarting'; startedAt: string; finishedAt: string; exitCode: number; oomKilled: boolean }
  /** `withVolumes`: its anonymous volumes go too. */
  | { status: 'removing'; startedAt: string; finishedAt: string; exitCode: number; withVolumes: boolean }
  | { status: 'exited'; startedAt: string; finishedAt: string; exitCode: number; oomKilled: boolean; error?: string }
  | { status: 'dead'; startedAt: string; finishedAt: string; exitCode: number; error?: string };

export type HealthStatus = 'starting' | 'healthy' | 'unhealthy';

/** What health checks have found. Of a container that does not run, or is paused, nothing is known to be well: it is `unhealthy`. */
export interface Health {
  readonly status: HealthStatus;
  /** Failed probes since the last that did not; those of the start period are not counted. */
  readonly failingStreak: number;
  /** The last five, also those of earlier runs. */
  readonly log: readonly ProbeResult[];
}

export interface ProbeResult {
  /** ISO texts. */
  readonly start: string;
  readonly end: string;
  /** -1: it could not be started, or took too long. */
  readonly exitCode: number;
  readonly output: string;
}

/** What of a container's host configuration can be changed once it is there. */
export const changeableFields = [
  'blkioWeight',
  'cpuShares',
  'nanoCpus',
  'cpuPeriod',
  'cpuQuota',
  'cpuRealtimePeriod',
  'cpuRealtimeRuntime',
  'cpusetCpus',
  'cpusetMems',
  'memoryBytes',
  'memorySwapBytes',
  'memoryReservationBytes',
  'pidsLimit',
  'restartPolicy',
] as const satisfies readonly (keyof HostConfig)[];

/** What is left out stays as it is. */
export type ContainerChanges = Partial<Pick<HostConfig, (typeof changeableFields)[number]>>;

/** The durable record of a container: everything inspect needs, everything a new daemon needs to carry on. */
export interface Container {
  readonly id: string;
  /** Without the leading slash. */
  name: string;
  readonly created: string;
  /** Image id (config digest); empty when made without one. */
  readonly imageId: string;
  readonly platform: string;
  config: ContainerConfig;
  hostConfig: HostConfig;
  /** A change of limits that may have reached the kernel but not `hostConfig`: the next daemon finishes it. */
  unfinishedUpdate?: ContainerChanges;
  mounts: readonly MountPoint[];
  /** Path and arguments that run, entrypoint and command together. */
  readonly path: string;
  readonly args: readonly string[];
  state: ContainerState;
  /** Undefined: it has no health check, or has never started. */
  health?: Health;
  restartCount: number;
  /** A person stopped it: restart policies leave it alone. */
  manuallyStopped: boolean;
  /** Whether it ever started: only such containers come back with the daemon. */
  hasStarted: boolean;
  /** By network name, as asked; kept while stopped. */
  endpoints: Readonly<Record<string, EndpointConfig>>;
  /** By network name, while running. */
  endpointStates: Readonly<Record<string, EndpointState>>;
  /** By name, the ids of the networks that the last run was on: how others tell that a stopped container is still on theirs. */
  lastNetworkIds?: Readonly<Record<string, string>>;
  ports: PortMap;
  /** Where its network namespace is while it runs with one of its own. */
  sandboxKey: string;
}
