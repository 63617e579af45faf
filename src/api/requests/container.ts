import { boolean, integer, keySet, list, map, nullable, object, string, stringOrList, unsigned } from '../decode.ts';
import type { Decoder } from '../decode.ts';
import type {
  CheckpointCreateRequest,
  ContainerConfig,
  ContainerCreateRequest,
  ContainerUpdateRequest,
  DeviceMapping,
  DeviceRequest,
  HealthConfig,
  HostConfig,
  LogConfig,
  Mount,
  MountBindOptions,
  MountTmpfsOptions,
  MountVolumeOptions,
  Resources,
  RestartPolicy,
  ThrottleDevice,
  Ulimit,
  WeightDevice,
} from '../types/container.ts';
import { networkingConfig, portMap } from './network.ts';

const strings = list(string);
const labels = map(string);

const healthConfig = object<HealthConfig>({
  Test: strings,
  Interval: integer,
  Timeout: integer,
  StartPeriod: integer,
  StartInterval: integer,
  Retries: integer,
});

const configFields = {
  Hostname: string,
  Domainname: string,
  User: string,
  AttachStdin: boolean,
  AttachStdout: boolean,
  AttachStderr: boolean,
  ExposedPorts: keySet,
  Tty: boolean,
  OpenStdin: boolean,
  StdinOnce: boolean,
  Env: strings,
  Cmd: stringOrList,
  Healthcheck: healthConfig,
  ArgsEscaped: boolean,
  Image: string,
  Volumes: keySet,
  WorkingDir: string,
  Entrypoint: stringOrList,
  NetworkDisabled: boolean,
  MacAddress: string,
  OnBuild: strings,
  Labels: labels,
  StopSignal: string,
  StopTimeout: integer,
  Shell: stringOrList,
} satisfies { [K in keyof ContainerConfig]-?: Decoder<unknown> };

/** The body of POST /commit. */
export const containerConfig = nullable(object<ContainerConfig>(configFields));

const throttle = list(object<ThrottleDevice>({ Path: string, Rate: unsigned }));

const resourceFields = {
  CpuShares: integer,
  Memory: integer,
  NanoCpus: integer,
  CgroupParent: string,
  BlkioWeight: unsigned,
  BlkioWeightDevice: list(object<WeightDevice>({ Path: string, Weight: unsigned })),
  BlkioDeviceReadBps: throttle,
  BlkioDeviceWriteBps: throttle,
  BlkioDeviceReadIOps: throttle,
  BlkioDeviceWriteIOps: throttle,
  CpuPeriod: integer,
  CpuQuota: integer,
  CpuRealtimePeriod: integer,
  CpuRealtimeRuntime: integer,
  CpusetCpus: string,
  CpusetMems: string,
  Devices: list(object<DeviceMapping>({ PathOnHost: string, PathInContainer: string, CgroupPermissions: string })),
  DeviceCgroupRules: strings,
  DeviceRequests: list(
    object<DeviceRequest>({ Driver: string, Count: integer, DeviceIDs: strings, Capabilities: list(strings), Options: labels }),
  ),
  MemoryReservation: integer,
  MemorySwap: integer,
  MemorySwappiness: integer,
  OomKillDisable: boolean,
  PidsLimit: integer,
  Ulimits: list(object<Ulimit>({ Name: string, Soft: integer, Hard: integer })),
  CpuCount: integer,
  CpuPercent: integer,
  IOMaximumIOps: unsigned,
  IOMaximumBandwidth: unsigned,
} satisfies { [K in keyof Resources]-?: Decoder<unknown> };

const restartPolicy = object<RestartPolicy>({ Name: string, MaximumRetryCount: integer });

const mount = object<Mount>({
  Type: string,
  Source: string,
  Target: string,
  ReadOnly: boolean,
  Consistency: string,
  BindOptions: object<MountBindOptions>({
    Propagation: string,
    NonRecursive: boolean,
    CreateMountpoint: boolean,
    ReadOnlyNonRecursive: boolean,
    ReadOnlyForceRecursive: boolean,
  }),
  VolumeOptions: object<MountVolumeOptions>({
    NoCopy: boolean,
    Labels: labels,
    Subpath: string,
    DriverConfig: object<NonNullable<MountVolumeOptions['DriverConfig']>>({ Name: string, Options: labels }),
  }),
  ImageOptions: object<NonNullable<Mount['ImageOptions']>>({ Subpath: string }),
  TmpfsOptions: object<MountTmpfsOptions>({ SizeBytes: integer, Mode: unsigned, Options: list(strings) }),
});

const hostConfig = object<HostConfig>({
  ...resourceFields,
  Binds: strings,
  ContainerIDFile: string,
  LogConfig: object<LogConfig>({ Type: string, Config: labels }),
  NetworkMode: string,
  PortBindings: portMap,
  RestartPolicy: restartPolicy,
  AutoRemove: boolean,
  VolumeDriver: string,
  VolumesFrom: strings,
  Mounts: list(mount),
  ConsoleSize: list(unsigned),
  Annotations: labels,
  CapAdd: stringOrList,
  CapDrop: stringOrList,
  CgroupnsMode: string,
  Dns: strings,
  DnsOptions: strings,
  DnsSearch: strings,
  ExtraHosts: strings,
  GroupAdd: strings,
  IpcMode: string,
  Cgroup: string,
  Links: strings,
  OomScoreAdj: integer,
  PidMode: string,
  Privileged: boolean,
  PublishAllPorts: boolean,
  ReadonlyRootfs: boolean,
  SecurityOpt: strings,
  StorageOpt: labels,
  Tmpfs: labels,
  UTSMode: string,
  UsernsMode: string,
  ShmSize: integer,
  Sysctls: labels,
  Runtime: string,
  Isolation: string,
  MaskedPaths: strings,
  ReadonlyPaths: strings,
  Init: boolean,
});

export const containerUpdateRequest = object<ContainerUpdateRequest>({ ...resourceFields, RestartPolicy: restartPolicy });

export const containerCreateRequest = object<ContainerCreateRequest>({
  ...configFields,
  HostConfig: hostConfig,
  NetworkingConfig: networkingConfig,
});

export const checkpointCreateRequest = object<CheckpointCreateRequest>({ CheckpointID: string, CheckpointDir: string, Exit: boolean });
