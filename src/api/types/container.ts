import type { Descriptor } from './common.ts';
import type { EndpointSettings, NetworkingConfig, NetworkSettings, PortMap } from './network.ts';

/** Durations in nanoseconds. */
export interface HealthConfig {
  Test?: string[] | null | undefined;
  Interval?: number | undefined;
  Timeout?: number | undefined;
  StartPeriod?: number | undefined;
  StartInterval?: number | undefined;
  Retries?: number | undefined;
}

export interface ContainerConfig {
  Hostname?: string | undefined;
  Domainname?: string | undefined;
  User?: string | undefined;
  AttachStdin?: boolean | undefined;
  AttachStdout?: boolean | undefined;
  AttachStderr?: boolean | undefined;
  /** Keys like `80/tcp`. */
  ExposedPorts?: Record<string, object> | null | undefined;
  Tty?: boolean | undefined;
  OpenStdin?: boolean | undefined;
  StdinOnce?: boolean | undefined;
  Env?: string[] | null | undefined;
  Cmd?: string[] | null | undefined;
  Healthcheck?: HealthConfig | null | undefined;
  ArgsEscaped?: boolean | undefined;
  Image?: string | undefined;
  Volumes?: Record<string, object> | null | undefined;
  WorkingDir?: string | undefined;
  Entrypoint?: string[] | null | undefined;
  NetworkDisabled?: boolean | undefined;
  MacAddress?: string | undefined;
  OnBuild?: string[] | null | undefined;
  Labels?: Record<string, string> | null | undefined;
  StopSignal?: string | undefined;
  StopTimeout?: number | null | undefined;
  Shell?: string[] | null | undefined;
}

export interface WeightDevice {
  Path: string;
  Weight: number;
}

export interface ThrottleDevice {
  Path: string;
  Rate: number;
}

export interface DeviceMapping {
  PathOnHost: string;
  PathInContainer: string;
  CgroupPermissions: string;
}

export interface DeviceRequest {
  Driver?: string | undefined;
  Count?: number | undefined;
  DeviceIDs?: string[] | null | undefined;
  Capabilities?: string[][] | null | undefined;
  Options?: Record<string, string> | null | undefined;
}

export interface Ulimit {
  Name: string;
  Soft: number;
  Hard: number;
}

export interface Resources {
  CpuShares?: number | undefined;
  Memory?: number | undefined;
  NanoCpus?: number | undefined;
  CgroupParent?: string | undefined;
  BlkioWeight?: number | undefined;
  BlkioWeightDevice?: WeightDevice[] | null | undefined;
  BlkioDeviceReadBps?: ThrottleDevice[] | null | undefined;
  BlkioDeviceWriteBps?: ThrottleDevice[] | null | undefined;
  BlkioDeviceReadIOps?: ThrottleDevice[] | null | undefined;
  BlkioDeviceWriteIOps?: ThrottleDevice[] | null | undefined;
  CpuPeriod?: number | undefined;
  CpuQuota?: number | undefined;
  CpuRealtimePeriod?: number | undefined;
  CpuRealtimeRuntime?: number | undefined;
  CpusetCpus?: string | undefined;
  CpusetMems?: string | undefined;
  Devices?: DeviceMapping[] | null | undefined;
  DeviceCgroupRules?: string[] | null | undefined;
  DeviceRequests?: DeviceRequest[] | null | undefined;
  MemoryReservation?: number | undefined;
  /** -1 unlimited, 0 unset. */
  MemorySwap?: number | undefined;
  /** -1 or null: unset. */
  MemorySwappiness?: number | null | undefined;
  OomKillDisable?: boolean | null | undefined;
  PidsLimit?: number | null | undefined;
  Ulimits?: Ulimit[] | null | undefined;
  CpuCount?: number | undefined;
  CpuPercent?: number | undefined;
  IOMaximumIOps?: number | undefined;
  IOMaximumBandwidth?: number | undefined;
}

export interface RestartPolicy {
  Name: string;
  MaximumRetryCount: number;
}

export interface LogConfig {
  Type: string;
  Config?: Record<string, string> | null | undefined;
}

export interface MountBindOptions {
  Propagation?: string | undefined;
  NonRecursive?: boolean | undefined;
  CreateMountpoint?: boolean | undefined;
  ReadOnlyNonRecursive?: boolean | undefined;
  ReadOnlyForceRecursive?: boolean | undefined;
}

export interface MountVolumeOptions {
  NoCopy?: boolean | undefined;
  Labels?: Record<string, string> | null | undefined;
  Subpath?: string | undefined;
  DriverConfig?: { Name?: string | undefined; Options?: Record<string, string> | null | undefined } | null | undefined;
}

export interface MountTmpfsOptions {
  SizeBytes?: number | undefined;
  Mode?: number | undefined;
  Options?: string[][] | null | undefined;
}

/** HostConfig.Mounts. `Type`: bind, volume, tmpfs, image, cluster, npipe. */
export interface Mount {
  Type: string;
  Source?: string | undefined;
  Target: string;
  ReadOnly?: boolean | undefined;
  Consistency?: string | undefined;
  BindOptions?: MountBindOptions | null | undefined;
  VolumeOptions?: MountVolumeOptions | null | undefined;
  ImageOptions?: { Subpath?: string | undefined } | null | undefined;
  TmpfsOptions?: MountTmpfsOptions | null | undefined;
}

export interface HostConfig extends Resources {
  Binds?: string[] | null | undefined;
  ContainerIDFile?: string | undefined;
  LogConfig?: LogConfig | undefined;
  NetworkMode?: string | undefined;
  PortBindings?: PortMap | null | undefined;
  RestartPolicy?: RestartPolicy | undefined;
  AutoRemove?: boolean | undefined;
  VolumeDriver?: string | undefined;
  VolumesFrom?: string[] | null | undefined;
  Mounts?: Mount[] | null | undefined;
  /** Height and width of the terminal that created it. */
  ConsoleSize?: number[] | undefined;
  Annotations?: Record<string, string> | null | undefined;
  CapAdd?: string[] | null | undefined;
  CapDrop?: string[] | null | undefined;
  CgroupnsMode?: string | undefined;
  Dns?: string[] | null | undefined;
  DnsOptions?: string[] | null | undefined;
  DnsSearch?: string[] | null | undefined;
  ExtraHosts?: string[] | null | undefined;
  GroupAdd?: string[] | null | undefined;
  IpcMode?: string | undefined;
  Cgroup?: string | undefined;
  Links?: string[] | null | undefined;
  OomScoreAdj?: number | undefined;
  PidMode?: string | undefined;
  Privileged?: boolean | undefined;
  PublishAllPorts?: boolean | undefined;
  ReadonlyRootfs?: boolean | undefined;
  SecurityOpt?: string[] | null | undefined;
  StorageOpt?: Record<string, string> | null | undefined;
  Tmpfs?: Record<string, string> | null | undefined;
  UTSMode?: string | undefined;
  UsernsMode?: string | undefined;
  ShmSize?: number | undefined;
  Sysctls?: Record<string, string> | null | undefined;
  Runtime?: string | undefined;
  Isolation?: string | undefined;
  /** Null: the daemon's default list; empty: none. */
  MaskedPaths?: string[] | null | undefined;
  ReadonlyPaths?: string[] | null | undefined;
  Init?: boolean | null | undefined;
}

/** POST /containers/create. */
export interface ContainerCreateRequest extends ContainerConfig {
  HostConfig?: HostConfig | null | undefined;
  NetworkingConfig?: NetworkingConfig | null | undefined;
}

export interface ContainerCreateResponse {
  Id: string;
  Warnings: string[] | null;
}

export interface HealthcheckResult {
  Start: string;
  End: string;
  ExitCode: number;
  Output: string;
}

export interface Health {
  /** none, starting, healthy, unhealthy. */
  Status: string;
  FailingStreak: number;
  Log: HealthcheckResult[] | null;
}

export interface ContainerState {
  /** created, running, paused, restarting, removing, exited, dead. */
  Status: string;
  Running: boolean;
  Paused: boolean;
  Restarting: boolean;
  OOMKilled: boolean;
  Dead: boolean;
  Pid: number;
  ExitCode: number;
  Error: string;
  StartedAt: string;
  FinishedAt: string;
  Health?: Health | undefined;
}

/** A resolved mount, in inspect and list. */
export interface MountPoint {
  Type: string;
  Name?: string | undefined;
  Source: string;
  Destination: string;
  Driver?: string | undefined;
  Mode: string;
  RW: boolean;
  Propagation: string;
}

export interface DriverData {
  Name: string;
  Data: Record<string, string> | null;
}

/** GET /containers/{id}/json. */
export interface ContainerInspect {
  Id: string;
  Created: string;
  Path: string;
  Args: string[];
  State: ContainerState;
  Image: string;
  ResolvConfPath: string;
  HostnamePath: string;
  HostsPath: string;
  LogPath: string;
  Name: string;
  RestartCount: number;
  Driver: string;
  Platform: string;
  MountLabel: string;
  ProcessLabel: string;
  AppArmorProfile: string;
  ExecIDs: string[] | null;
  HostConfig: HostConfig;
  GraphDriver: DriverData;
  ImageManifestDescriptor?: Descriptor | undefined;
  SizeRw?: number | undefined;
  SizeRootFs?: number | undefined;
  Mounts: MountPoint[];
  Config: ContainerConfig;
  NetworkSettings: NetworkSettings;
}

export interface PortSummary {
  IP?: string | undefined;
  PrivatePort: number;
  PublicPort?: number | undefined;
  Type: string;
}

/** GET /containers/json. */
export interface ContainerSummary {
  Id: string;
  /** With a leading slash. */
  Names: string[];
  Image: string;
  ImageID: string;
  ImageManifestDescriptor?: Descriptor | undefined;
  Command: string;
  /** Seconds since 1970. */
  Created: number;
  Ports: PortSummary[];
  SizeRw?: number | undefined;
  SizeRootFs?: number | undefined;
  Labels: Record<string, string>;
  State: string;
  /** Such as `Up 3 minutes (healthy)`. */
  Status: string;
  HostConfig: { NetworkMode?: string | undefined; Annotations?: Record<string, string> | undefined };
  NetworkSettings: { Networks: Record<string, EndpointSettings> };
  Mounts: MountPoint[];
}

export interface ContainerTopResponse {
  Titles: string[];
  Processes: string[][] | null;
}

/** The body of `/wait`, which comes when the wait ends. */
export interface ContainerWaitResponse {
  StatusCode: number;
  Error?: { Message?: string | undefined } | null | undefined;
}

export interface ContainerPruneResponse {
  ContainersDeleted: string[] | null;
  SpaceReclaimed: number;
}

export type ContainerUpdateRequest = Resources & { RestartPolicy?: RestartPolicy | undefined };

export interface ContainerUpdateResponse {
  Warnings: string[] | null;
}

/** `Kind`: 0 modified, 1 added, 2 deleted. */
export interface FilesystemChange {
  Path: string;
  Kind: 0 | 1 | 2;
}

/** The JSON in the X-Docker-Container-Path-Stat header. `mode` has Go's os.FileMode bits. */
export interface ContainerPathStat {
  name: string;
  size: number;
  mode: number;
  mtime: string;
  linkTarget: string;
}

/** POST /containers/{id}/checkpoints. */
export interface CheckpointCreateRequest {
  CheckpointID?: string | undefined;
  CheckpointDir?: string | undefined;
  /** End the container when it is saved. */
  Exit?: boolean | undefined;
}

export interface Checkpoint {
  Name: string;
}
