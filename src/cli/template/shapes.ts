import { rememberShape, type Shape, type ShapeFields } from '#base/template/shapes.ts';

const list = (of?: Shape): Shape => ({ kind: 'list', of });
const map = (of?: Shape): Shape => ({ kind: 'map', of });
const pointer = (to?: Shape): Shape => ({ kind: 'pointer', to });

/** All fields of a struct in their order; those with a type that JSON cannot tell are named again with it. */
const struct = (names: string, typed: ShapeFields = {}): Shape => ({
  kind: 'struct',
  complete: true,
  fields: Object.fromEntries(names.split(' ').map(name => [name, typed[name]])),
});

/** A struct of which only some fields are told: it prints as a map. */
const partly = (fields: ShapeFields): Shape => ({ kind: 'struct', complete: false, fields });

const lists = (names: string): ShapeFields => Object.fromEntries(names.split(' ').map(name => [name, list()]));
const maps = (names: string): ShapeFields => Object.fromEntries(names.split(' ').map(name => [name, map()]));

const health = struct('Status FailingStreak Log', { Log: list(struct('Start End ExitCode Output')) });
const healthcheck = struct('Test Interval Timeout StartPeriod StartInterval Retries', lists('Test'));
const ports = map(list(struct('HostIp HostPort')));

const containerConfig = struct(
  'Hostname Domainname User AttachStdin AttachStdout AttachStderr ExposedPorts Tty OpenStdin StdinOnce Env Cmd Healthcheck ArgsEscaped Image ' +
    'Volumes WorkingDir Entrypoint NetworkDisabled MacAddress OnBuild Labels StopSignal StopTimeout Shell',
  {
    ...lists('Env Cmd Entrypoint OnBuild Shell'),
    ...maps('ExposedPorts Volumes Labels'),
    Healthcheck: pointer(healthcheck),
    StopTimeout: pointer(),
  },
);

const hostConfig = partly({
  ...lists('Binds VolumesFrom CapAdd CapDrop Dns DnsOptions DnsSearch ExtraHosts GroupAdd Links SecurityOpt MaskedPaths ReadonlyPaths'),
  ...lists('DeviceCgroupRules DeviceRequests Ulimits Mounts BlkioWeightDevice BlkioDeviceReadBps BlkioDeviceWriteBps'),
  ...maps('Annotations StorageOpt Tmpfs Sysctls'),
  Devices: list(struct('PathOnHost PathInContainer CgroupPermissions')),
  PortBindings: ports,
  LogConfig: struct('Type Config', maps('Config')),
  RestartPolicy: struct('Name MaximumRetryCount'),
  Init: pointer(),
  OomKillDisable: pointer(),
  PidsLimit: pointer(),
  MemorySwappiness: pointer(),
});

const endpoint = partly({ ...lists('Links Aliases DNSNames'), ...maps('DriverOpts'), IPAMConfig: pointer(partly(lists('LinkLocalIPs'))) });
const graphDriver = struct('Data Name', maps('Data'));

const container = partly({
  ...lists('Args ExecIDs'),
  State: pointer(
    struct('Status Running Paused Restarting OOMKilled Dead Pid ExitCode Error StartedAt FinishedAt Health', { Health: pointer(health) }),
  ),
  Config: pointer(containerConfig),
  HostConfig: pointer(hostConfig),
  Mounts: list(struct('Type Name Source Destination Driver Mode RW Propagation')),
  NetworkSettings: pointer(partly({ Ports: ports, Networks: map(pointer(endpoint)) })),
  GraphDriver: graphDriver,
  SizeRw: pointer(),
  SizeRootFs: pointer(),
  ImageManifestDescriptor: pointer(),
});

const network = partly({
  ...maps('Options Labels Services'),
  ...lists('Peers'),
  IPAM: struct('Driver Options Config', {
    Options: map(),
    Config: list(struct('Subnet IPRange Gateway AuxiliaryAddresses', maps('AuxiliaryAddresses'))),
  }),
  ConfigFrom: struct('Network'),
  Containers: map(struct('Name EndpointID MacAddress IPv4Address IPv6Address')),
});

const volume = partly({ ...maps('Labels Options Status'), ClusterVolume: pointer(), UsageData: pointer(struct('RefCount Size')) });

const image = partly({
  ...lists('RepoTags RepoDigests'),
  Config: pointer(
    partly({ ...lists('Env Cmd Entrypoint OnBuild Shell'), ...maps('ExposedPorts Volumes Labels'), Healthcheck: pointer(healthcheck) }),
  ),
  RootFS: struct('Type Layers', lists('Layers')),
  GraphDriver: graphDriver,
  Descriptor: pointer(),
});

/** A field that only one kind of object has, and its shape. */
const telling = [
  ['HostConfig', container],
  ['IPAM', network],
  ['Mountpoint', volume],
  ['RootFS', image],
] as const;

/** Names that templates may use for fields which JSON spells otherwise. */
const otherNames: Readonly<Record<string, string>> = {
  ID: 'Id',
  HostIP: 'HostIp',
  DNS: 'Dns',
  DNSOptions: 'DnsOptions',
  DNSSearch: 'DnsSearch',
  CPUShares: 'CpuShares',
  NanoCPUs: 'NanoCpus',
  CPUPeriod: 'CpuPeriod',
  CPUQuota: 'CpuQuota',
  CPURealtimePeriod: 'CpuRealtimePeriod',
  CPURealtimeRuntime: 'CpuRealtimeRuntime',
  CPUCount: 'CpuCount',
  CPUPercent: 'CpuPercent',
};

/** Remembers the types of everything in what `inspect` found. */
export function rememberShapes(value: unknown): void {
  if (typeof value !== 'object' || value === null) return;
  const shape = telling.find(([field]) => Object.hasOwn(value, field))?.[1];
  if (shape !== undefined) rememberShape(value, shape, otherNames);
}
