import {
  anything,
  digest,
  flag,
  hexId,
  listOf,
  literal,
  mapOf,
  matching,
  object,
  orNull,
  type Shape,
  text,
  time,
  whole,
} from '#test/helpers/shape.ts';

/** What answers of API 1.51 consist of: the members that clients may rely on, which may be missing, and which may be null. */

const texts = listOf(text);
const labels = mapOf(text);
const keys = mapOf(object({}));
const duration = whole;
const emptyOrTime: Shape = (value, place) => (value === '' ? [] : time(value, place));

const healthcheck = object(
  {},
  { Test: orNull(texts), Interval: duration, Timeout: duration, StartPeriod: duration, StartInterval: duration, Retries: whole },
);

const execConfigMust = {
  User: text,
  AttachStdin: flag,
  AttachStdout: flag,
  AttachStderr: flag,
  Hostname: text,
  Domainname: text,
  Tty: flag,
  OpenStdin: flag,
  StdinOnce: flag,
  Env: orNull(texts),
  Cmd: orNull(texts),
  Image: text,
  Volumes: orNull(keys),
  WorkingDir: text,
  Entrypoint: orNull(texts),
  OnBuild: orNull(texts),
  Labels: orNull(labels),
};
const execConfigMay = {
  ExposedPorts: keys,
  Healthcheck: healthcheck,
  ArgsEscaped: flag,
  NetworkDisabled: flag,
  MacAddress: text,
  StopSignal: text,
  StopTimeout: whole,
  Shell: texts,
};
const config = object(execConfigMust, execConfigMay);

const portBindings = mapOf(orNull(listOf(object({ HostIp: text, HostPort: text }))));
const throttle = orNull(listOf(object({ Path: text, Rate: whole })));

const mount = object(
  { Type: literal('bind', 'volume', 'tmpfs', 'image'), Target: text },
  {
    Source: text,
    ReadOnly: flag,
    Consistency: text,
    BindOptions: anything,
    VolumeOptions: anything,
    TmpfsOptions: anything,
    ImageOptions: anything,
  },
);

const hostConfig = object(
  {
    Binds: orNull(texts),
    ContainerIDFile: text,
    LogConfig: object({ Type: text, Config: orNull(labels) }),
    NetworkMode: text,
    PortBindings: orNull(portBindings),
    RestartPolicy: object({ Name: literal('', 'no', 'always', 'unless-stopped', 'on-failure'), MaximumRetryCount: whole }),
    AutoRemove: flag,
    VolumeDriver: text,
    VolumesFrom: orNull(texts),
    ConsoleSize: listOf(whole),
    CapAdd: orNull(texts),
    CapDrop: orNull(texts),
    CgroupnsMode: literal('private', 'host'),
    Dns: orNull(texts),
    DnsOptions: orNull(texts),
    DnsSearch: orNull(texts),
    ExtraHosts: orNull(texts),
    GroupAdd: orNull(texts),
    IpcMode: text,
    Cgroup: text,
    Links: orNull(texts),
    OomScoreAdj: whole,
    PidMode: text,
    Privileged: flag,
    PublishAllPorts: flag,
    ReadonlyRootfs: flag,
    SecurityOpt: orNull(texts),
    UTSMode: text,
    UsernsMode: text,
    ShmSize: whole,
    Runtime: text,
    Isolation: text,
    CpuShares: whole,
    Memory: whole,
    NanoCpus: whole,
    CgroupParent: text,
    BlkioWeight: whole,
    BlkioWeightDevice: orNull(listOf(object({ Path: text, Weight: whole }))),
    BlkioDeviceReadBps: throttle,
    BlkioDeviceWriteBps: throttle,
    BlkioDeviceReadIOps: throttle,
    BlkioDeviceWriteIOps: throttle,
    CpuPeriod: whole,
    CpuQuota: whole,
    CpuRealtimePeriod: whole,
    CpuRealtimeRuntime: whole,
    CpusetCpus: text,
    CpusetMems: text,
    Devices: orNull(listOf(object({ PathOnHost: text, PathInContainer: text, CgroupPermissions: text }))),
    DeviceCgroupRules: orNull(texts),
    DeviceRequests: orNull(listOf(anything)),
    MemoryReservation: whole,
    MemorySwap: whole,
    MemorySwappiness: orNull(whole),
    OomKillDisable: orNull(flag),
    PidsLimit: orNull(whole),
    Ulimits: orNull(listOf(object({ Name: text, Soft: whole, Hard: whole }))),
    CpuCount: whole,
    CpuPercent: whole,
    IOMaximumIOps: whole,
    IOMaximumBandwidth: whole,
    MaskedPaths: orNull(texts),
    ReadonlyPaths: orNull(texts),
  },
  { Mounts: listOf(mount), Annotations: labels, StorageOpt: labels, Tmpfs: labels, Sysctls: labels, Init: flag },
);

const endpoint = object({
  IPAMConfig: orNull(object({}, { IPv4Address: text, IPv6Address: text, LinkLocalIPs: texts })),
  Links: orNull(texts),
  Aliases: orNull(texts),
  MacAddress: text,
  DriverOpts: orNull(labels),
  GwPriority: whole,
  NetworkID: text,
  EndpointID: text,
  Gateway: text,
  IPAddress: text,
  IPPrefixLen: whole,
  IPv6Gateway: text,
  GlobalIPv6Address: text,
  GlobalIPv6PrefixLen: whole,
  DNSNames: orNull(texts),
});

const mountPoint = object(
  {
    Type: literal('bind', 'volume', 'tmpfs', 'image'),
    Source: text,
    Destination: text,
    Mode: text,
    RW: flag,
    Propagation: text,
  },
  { Name: text, Driver: text },
);

const graphDriver = object({ Name: text, Data: orNull(labels) });

export const containerInspect = object(
  {
    Id: hexId,
    Created: time,
    Path: text,
    Args: texts,
    State: object(
      {
        Status: literal('created', 'running', 'paused', 'restarting', 'removing', 'exited', 'dead'),
        Running: flag,
        Paused: flag,
        Restarting: flag,
        OOMKilled: flag,
        Dead: flag,
        Pid: whole,
        ExitCode: whole,
        Error: text,
        StartedAt: time,
        FinishedAt: time,
      },
      { Health: anything },
    ),
    Image: digest,
    ResolvConfPath: text,
    HostnamePath: text,
    HostsPath: text,
    LogPath: text,
    Name: matching(/^\/[\w.-]+$/),
    RestartCount: whole,
    Driver: text,
    Platform: literal('linux'),
    MountLabel: text,
    ProcessLabel: text,
    AppArmorProfile: text,
    ExecIDs: orNull(texts),
    HostConfig: hostConfig,
    GraphDriver: graphDriver,
    Mounts: listOf(mountPoint),
    Config: config,
    NetworkSettings: object({
      Bridge: text,
      SandboxID: text,
      SandboxKey: text,
      Ports: orNull(portBindings),
      HairpinMode: flag,
      LinkLocalIPv6Address: text,
      LinkLocalIPv6PrefixLen: whole,
      SecondaryIPAddresses: orNull(listOf(anything)),
      SecondaryIPv6Addresses: orNull(listOf(anything)),
      EndpointID: text,
      Gateway: text,
      GlobalIPv6Address: text,
      GlobalIPv6PrefixLen: whole,
      IPAddress: text,
      IPPrefixLen: whole,
      IPv6Gateway: text,
      MacAddress: text,
      Networks: mapOf(endpoint),
    }),
  },
  { SizeRw: whole, SizeRootFs: whole },
);

export const containerSummary = object(
  {
    Id: hexId,
    Names: listOf(matching(/^\/[\w./-]+$/)),
    Image: text,
    ImageID: digest,
    Command: text,
    Created: whole,
    Ports: listOf(object({ PrivatePort: whole, Type: literal('tcp', 'udp', 'sctp') }, { IP: text, PublicPort: whole })),
    Labels: labels,
    State: text,
    Status: text,
    HostConfig: object({ NetworkMode: text }, { Annotations: labels }),
    NetworkSettings: object({ Networks: mapOf(endpoint) }),
    Mounts: listOf(mountPoint),
  },
  { SizeRw: whole, SizeRootFs: whole },
);

export const execInspect = object({
  ID: hexId,
  Running: flag,
  ExitCode: orNull(whole),
  ProcessConfig: object({ tty: flag, entrypoint: text, arguments: texts }, { privileged: flag, user: text }),
  OpenStdin: flag,
  OpenStderr: flag,
  OpenStdout: flag,
  CanRemove: flag,
  ContainerID: hexId,
  DetachKeys: text,
  Pid: whole,
});

export const imageInspect = object(
  {
    Id: digest,
    RepoTags: texts,
    RepoDigests: texts,
    Parent: text,
    Comment: text,
    DockerVersion: text,
    Author: text,
    Config: config,
    Architecture: text,
    Os: literal('linux'),
    Size: whole,
    GraphDriver: graphDriver,
    RootFS: object({ Type: literal('layers'), Layers: listOf(digest) }),
    Metadata: object({}, { LastTagTime: time }),
  },
  { Created: time, Variant: text, OsVersion: text, Descriptor: object({ mediaType: text, digest, size: whole }) },
);

export const imageSummary = object({
  Id: digest,
  ParentId: text,
  RepoTags: texts,
  RepoDigests: texts,
  Created: whole,
  Size: whole,
  SharedSize: whole,
  Labels: orNull(labels),
  Containers: whole,
});

export const imageHistory = listOf(object({ Id: text, Created: whole, CreatedBy: text, Tags: orNull(texts), Size: whole, Comment: text }));

export const network = object({
  Name: text,
  Id: hexId,
  Created: time,
  Scope: literal('local'),
  Driver: literal('bridge', 'host', 'null'),
  EnableIPv4: flag,
  EnableIPv6: flag,
  IPAM: object({
    Driver: text,
    Options: orNull(labels),
    Config: listOf(object({ Subnet: text }, { IPRange: text, Gateway: text, AuxiliaryAddresses: labels })),
  }),
  Internal: flag,
  Attachable: flag,
  Ingress: flag,
  ConfigFrom: object({ Network: text }),
  ConfigOnly: flag,
  Options: labels,
  Labels: labels,
  Containers: mapOf(object({ Name: text, EndpointID: hexId, MacAddress: text, IPv4Address: text, IPv6Address: text })),
});

export const volume = object(
  {
    Name: text,
    Driver: text,
    Mountpoint: text,
    CreatedAt: time,
    Labels: orNull(labels),
    Scope: literal('local'),
    Options: orNull(labels),
  },
  { UsageData: object({ Size: whole, RefCount: whole }) },
);
export const volumeList = object({ Volumes: listOf(volume), Warnings: orNull(texts) });

export const version = object(
  {
    Platform: object({ Name: text }),
    Components: listOf(object({ Name: text, Version: text }, { Details: labels })),
    Version: text,
    ApiVersion: literal('1.51'),
    MinAPIVersion: literal('1.24'),
    GitCommit: text,
    GoVersion: text,
    Os: literal('linux'),
    Arch: text,
    KernelVersion: text,
  },
  { Experimental: flag, BuildTime: emptyOrTime },
);

const commit = object({ ID: text });

export const info = object({
  ID: matching(/./),
  Containers: whole,
  ContainersRunning: whole,
  ContainersPaused: whole,
  ContainersStopped: whole,
  Images: whole,
  Driver: literal('overlay2'),
  DriverStatus: listOf(listOf(text)),
  Plugins: object({ Volume: texts, Network: texts, Authorization: orNull(texts), Log: texts }),
  MemoryLimit: flag,
  SwapLimit: flag,
  CpuCfsPeriod: flag,
  CpuCfsQuota: flag,
  CPUShares: flag,
  CPUSet: flag,
  PidsLimit: flag,
  IPv4Forwarding: flag,
  Debug: flag,
  NFd: whole,
  OomKillDisable: flag,
  NGoroutines: whole,
  SystemTime: time,
  LoggingDriver: text,
  CgroupDriver: literal('cgroupfs'),
  CgroupVersion: literal('1', '2'),
  NEventsListener: whole,
  KernelVersion: matching(/^\d/),
  OperatingSystem: matching(/./),
  OSVersion: text,
  OSType: literal('linux'),
  Architecture: matching(/./),
  IndexServerAddress: text,
  RegistryConfig: object({
    InsecureRegistryCIDRs: texts,
    IndexConfigs: mapOf(object({ Name: text, Mirrors: texts, Secure: flag, Official: flag })),
    Mirrors: orNull(texts),
  }),
  NCPU: whole,
  MemTotal: whole,
  GenericResources: orNull(listOf(anything)),
  DockerRootDir: text,
  HttpProxy: text,
  HttpsProxy: text,
  NoProxy: text,
  Name: matching(/./),
  Labels: texts,
  ExperimentalBuild: flag,
  ServerVersion: matching(/./),
  Runtimes: mapOf(object({ path: text }, { runtimeArgs: texts, status: labels })),
  DefaultRuntime: text,
  Swarm: object({
    NodeID: text,
    NodeAddr: text,
    LocalNodeState: literal('inactive'),
    ControlAvailable: flag,
    Error: text,
    RemoteManagers: orNull(listOf(anything)),
  }),
  LiveRestoreEnabled: flag,
  Isolation: text,
  InitBinary: text,
  ContainerdCommit: commit,
  RuncCommit: commit,
  InitCommit: commit,
  SecurityOptions: listOf(matching(/^name=/)),
  DefaultAddressPools: listOf(object({ Base: text, Size: whole })),
  FirewallBackend: object({ Driver: text }, { Info: listOf(listOf(text)) }),
  CDISpecDirs: orNull(texts),
  Warnings: orNull(texts),
});

export const diskUsage = object({
  LayersSize: whole,
  Images: listOf(imageSummary),
  Containers: listOf(containerSummary),
  Volumes: listOf(volume),
  BuildCache: listOf(anything),
});

export const event = object(
  {
    Type: literal('container', 'image', 'network', 'volume', 'daemon'),
    Action: matching(/./),
    Actor: object({ ID: matching(/./), Attributes: labels }),
    scope: literal('local'),
    time: whole,
    timeNano: anything,
  },
  { status: text, id: text, from: text },
);

export const top = object({ Titles: texts, Processes: listOf(texts) });

const counts = { total_usage: whole, usage_in_kernelmode: whole, usage_in_usermode: whole };
const cpuStats = object(
  {
    cpu_usage: object(counts, { percpu_usage: listOf(whole) }),
    throttling_data: object({ periods: whole, throttled_periods: whole, throttled_time: whole }),
  },
  { system_cpu_usage: whole, online_cpus: whole },
);
const blockIo = orNull(listOf(object({ major: whole, minor: whole, op: text, value: whole })));
const traffic = {
  ...{ rx_bytes: whole, rx_packets: whole, rx_errors: whole, rx_dropped: whole },
  ...{ tx_bytes: whole, tx_packets: whole, tx_errors: whole, tx_dropped: whole },
};
export const containerStats = object(
  {
    id: hexId,
    name: matching(/^\/./),
    read: time,
    preread: time,
    num_procs: whole,
    storage_stats: object({}),
    pids_stats: object({}, { current: whole, limit: whole }),
    cpu_stats: cpuStats,
    precpu_stats: cpuStats,
    memory_stats: object({}, { usage: whole, max_usage: whole, failcnt: whole, limit: whole, stats: mapOf(whole) }),
    blkio_stats: object({
      io_service_bytes_recursive: blockIo,
      io_serviced_recursive: blockIo,
      io_queue_recursive: blockIo,
      io_service_time_recursive: blockIo,
      io_wait_time_recursive: blockIo,
      io_merged_recursive: blockIo,
      io_time_recursive: blockIo,
      sectors_recursive: blockIo,
    }),
  },
  { networks: mapOf(object(traffic)) },
);
export const updated = object({ Warnings: orNull(texts) });
export const created = object({ Id: hexId, Warnings: texts });
export const error = object({ message: matching(/./) });
