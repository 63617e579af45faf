import { invalidArgument } from '#base/errors.ts';
import type {
  ContainerConfig as WireConfig,
  ContainerCreateRequest,
  HostConfig as WireHostConfig,
  Mount as WireMount,
} from '#api/types/container.ts';
import type { EndpointConfig, PortMap } from '#core/network.ts';
import { compactPortMap, compactPorts } from '#core/port-ranges.ts';
import type { ContainerConfig, HostConfig, MountRequest, MountType, RestartPolicy, RestartPolicyName } from '#engine/containers/model.ts';
import type { CreateRequest } from '#engine/containers/service.ts';
import { fromWireEndpoint } from './endpoint.ts';

/** The request with everything that was left out filled in. Rejects with InvalidArgument for words that are not in their vocabulary. */
export function fromCreateRequest(
  request: ContainerCreateRequest,
  name: string | undefined,
  platform: string | undefined,
): { readonly create: CreateRequest; readonly warnings: readonly string[] } {
  const hostConfig = fromWireHostConfig(request.HostConfig ?? {});
  const { endpoints, warnings } = endpointsOf(request, hostConfig.networkMode);
  return { create: { name, platform, config: fromWireConfig(request), hostConfig, endpoints }, warnings };
}

export function fromWireConfig(wire: WireConfig): ContainerConfig {
  return {
    hostname: wire.Hostname ?? '',
    domainname: wire.Domainname ?? '',
    user: wire.User ?? '',
    attachStdin: wire.AttachStdin ?? false,
    attachStdout: wire.AttachStdout ?? false,
    attachStderr: wire.AttachStderr ?? false,
    exposedPorts: compactPorts(Object.keys(wire.ExposedPorts ?? {})),
    tty: wire.Tty ?? false,
    openStdin: wire.OpenStdin ?? false,
    stdinOnce: wire.StdinOnce ?? false,
    env: wire.Env ?? [],
    // An empty command means the image's; an empty entrypoint takes the image's away.
    cmd: nonEmpty(wire.Cmd),
    entrypoint: wire.Entrypoint ?? undefined,
    image: wire.Image ?? '',
    volumes: Object.keys(wire.Volumes ?? {}),
    workingDir: wire.WorkingDir ?? '',
    networkDisabled: wire.NetworkDisabled ?? false,
    macAddress: wire.MacAddress ?? '',
    onBuild: nonEmpty(wire.OnBuild),
    labels: wire.Labels ?? {},
    stopSignal: wire.StopSignal === '' ? undefined : wire.StopSignal,
    stopTimeoutSeconds: wire.StopTimeout ?? undefined,
    shell: nonEmpty(wire.Shell),
    healthcheck: healthcheckOf(wire.Healthcheck),
  };
}

export function fromWireHostConfig(wire: WireHostConfig): HostConfig {
  return {
    cpuShares: wire.CpuShares ?? 0,
    memoryBytes: wire.Memory ?? 0,
    nanoCpus: wire.NanoCpus ?? 0,
    cgroupParent: wire.CgroupParent ?? '',
    blkioWeight: wire.BlkioWeight ?? 0,
    blkioWeightDevice: (wire.BlkioWeightDevice ?? []).map(each => ({ path: each.Path ?? '', weight: each.Weight ?? 0 })),
    blkioDeviceReadBps: throttles(wire.BlkioDeviceReadBps),
    blkioDeviceWriteBps: throttles(wire.BlkioDeviceWriteBps),
    blkioDeviceReadIops: throttles(wire.BlkioDeviceReadIOps),
    blkioDeviceWriteIops: throttles(wire.BlkioDeviceWriteIOps),
    cpuPeriod: wire.CpuPeriod ?? 0,
    cpuQuota: wire.CpuQuota ?? 0,
    cpuRealtimePeriod: wire.CpuRealtimePeriod ?? 0,
    cpuRealtimeRuntime: wire.CpuRealtimeRuntime ?? 0,
    cpusetCpus: wire.CpusetCpus ?? '',
    cpusetMems: wire.CpusetMems ?? '',
    devices: (wire.Devices ?? []).map(each => ({
      pathOnHost: each.PathOnHost ?? '',
      pathInContainer: each.PathInContainer ?? '',
      cgroupPermissions: each.CgroupPermissions ?? '',
    })),
    deviceCgroupRules: wire.DeviceCgroupRules ?? [],
    deviceRequests: (wire.DeviceRequests ?? []).map(each => ({
      driver: each.Driver ?? '',
      count: each.Count ?? 0,
      deviceIds: each.DeviceIDs ?? [],
      capabilities: each.Capabilities ?? [],
      options: each.Options ?? {},
    })),
    memoryReservationBytes: wire.MemoryReservation ?? 0,
    memorySwapBytes: wire.MemorySwap ?? 0,
    // -1 is how the command line says that nobody chose.
    memorySwappiness: wire.MemorySwappiness === -1 ? undefined : (wire.MemorySwappiness ?? undefined),
    oomKillDisable: wire.OomKillDisable ?? undefined,
    init: wire.Init ?? undefined,
    // All of them mean no limit.
    pidsLimit: wire.PidsLimit === null || wire.PidsLimit === undefined || wire.PidsLimit <= 0 ? undefined : wire.PidsLimit,
    ulimits: (wire.Ulimits ?? []).map(each => ({ name: each.Name ?? '', soft: each.Soft ?? 0, hard: each.Hard ?? 0 })),
    binds: wire.Binds ?? [],
    containerIdFile: wire.ContainerIDFile ?? '',
    logConfig: { type: wire.LogConfig?.Type ?? '', config: wire.LogConfig?.Config ?? {} },
    networkMode: wire.NetworkMode === undefined || wire.NetworkMode === '' ? 'default' : wire.NetworkMode,
    portBindings: portBindings(wire.PortBindings),
    restartPolicy: restartPolicy(wire.RestartPolicy),
    autoRemove: wire.AutoRemove ?? false,
    volumeDriver: wire.VolumeDriver ?? '',
    volumesFrom: wire.VolumesFrom ?? [],
    mounts: (wire.Mounts ?? []).map(fromWireMount),
    consoleSize: [wire.ConsoleSize?.[0] ?? 0, wire.ConsoleSize?.[1] ?? 0],
    annotations: wire.Annotations ?? {},
    capAdd: wire.CapAdd ?? [],
    capDrop: wire.CapDrop ?? [],
    cgroupnsMode: cgroupnsMode(wire.CgroupnsMode ?? ''),
    dns: wire.Dns ?? [],
    dnsOptions: wire.DnsOptions ?? [],
    dnsSearch: wire.DnsSearch ?? [],
    extraHosts: wire.ExtraHosts ?? [],
    groupAdd: wire.GroupAdd ?? [],
    ipcMode: wire.IpcMode ?? '',
    cgroup: wire.Cgroup ?? '',
    links: wire.Links ?? [],
    oomScoreAdj: wire.OomScoreAdj ?? 0,
    pidMode: wire.PidMode ?? '',
    privileged: wire.Privileged ?? false,
    publishAllPorts: wire.PublishAllPorts ?? false,
    readonlyRootfs: wire.ReadonlyRootfs ?? false,
    securityOpt: wire.SecurityOpt ?? [],
    storageOpt: wire.StorageOpt ?? {},
    tmpfs: wire.Tmpfs ?? {},
    utsMode: wire.UTSMode ?? '',
    usernsMode: wire.UsernsMode ?? '',
    shmSizeBytes: wire.ShmSize ?? 0,
    sysctls: wire.Sysctls ?? {},
    runtime: wire.Runtime ?? '',
    isolation: wire.Isolation ?? '',
    maskedPaths: wire.MaskedPaths ?? undefined,
    readonlyPaths: wire.ReadonlyPaths ?? undefined,
  };
}

/** Endpoints by network; the container-wide MAC address of older clients goes to the network that is the container's mode. */
function endpointsOf(
  request: ContainerCreateRequest,
  networkMode: string,
): { endpoints: Readonly<Record<string, EndpointConfig>>; warnings: readonly string[] } {
  const endpoints: Record<string, EndpointConfig> = {};
  for (const [name, endpoint] of Object.entries(request.NetworkingConfig?.EndpointsConfig ?? {}))
    endpoints[name] = fromWireEndpoint(endpoint ?? {});
  const macAddress = request.MacAddress ?? '';
  if (macAddress === '') return { endpoints, warnings: [] };
  const main = Object.hasOwn(endpoints, networkMode) ? endpoints[networkMode] : undefined;
  if (main?.macAddress !== undefined && main.macAddress !== macAddress) {
    throw invalidArgument(
      'the container-wide MAC address must match the endpoint-specific MAC address for the main network, or be left empty',
    );
  }
  if (['none', 'host'].includes(networkMode) || networkMode.startsWith('container:')) {
    throw invalidArgument('conflicting options: mac-address and the network mode');
  }
  endpoints[networkMode] = { ...main, macAddress };
  return {
    endpoints,
    warnings: ['The container-wide MacAddress field is now deprecated. It should be specified in EndpointsConfig instead.'],
  };
}

const nonEmpty = (list: readonly string[] | null | undefined): readonly string[] | undefined =>
  list === null || list === undefined || list.length === 0 ? undefined : list;

function healthcheckOf(wire: WireConfig['Healthcheck']): ContainerConfig['healthcheck'] {
  if (wire === null || wire === undefined) return undefined;
  const { Test, Interval, Timeout, StartPeriod, StartInterval, Retries } = wire;
  return {
    ...(Test === null || Test === undefined ? {} : { Test }),
    ...(Interval === undefined ? {} : { Interval }),
    ...(Timeout === undefined ? {} : { Timeout }),
    ...(StartPeriod === undefined ? {} : { StartPeriod }),
    ...(StartInterval === undefined ? {} : { StartInterval }),
    ...(Retries === undefined ? {} : { Retries }),
  };
}

const throttles = (wire: WireHostConfig['BlkioDeviceReadBps']): HostConfig['blkioDeviceReadBps'] =>
  (wire ?? []).map(each => ({ path: each.Path ?? '', rate: each.Rate ?? 0 }));

function portBindings(wire: WireHostConfig['PortBindings']): PortMap {
  const ports: Record<string, { hostIp: string; hostPort: string }[]> = {};
  for (const [port, bindings] of Object.entries(wire ?? {})) {
    // A port with an empty list is published on any free port, like one binding without a port.
    const wanted = bindings === null || bindings.length === 0 ? [{}] : bindings;
    ports[port.includes('/') ? port : `${port}/tcp`] = wanted.map(({ HostIp, HostPort }) => ({
      hostIp: HostIp ?? '',
      hostPort: HostPort ?? '',
    }));
  }
  return compactPortMap(ports);
}

const restartNames: readonly RestartPolicyName[] = ['no', 'always', 'unless-stopped', 'on-failure'];

export function restartPolicy(wire: WireHostConfig['RestartPolicy']): RestartPolicy {
  const name = wire?.Name === undefined || wire.Name === '' ? 'no' : wire.Name;
  const known = restartNames.find(each => each === name);
  if (known === undefined) {
    throw invalidArgument(`invalid restart policy: unknown policy '${name}'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'`);
  }
  return { name: known, maximumRetryCount: wire?.MaximumRetryCount ?? 0 };
}

function cgroupnsMode(mode: string): HostConfig['cgroupnsMode'] {
  if (mode === '' || mode === 'private' || mode === 'host') return mode;
  throw invalidArgument(`invalid cgroup namespace mode: ${mode}`);
}

const mountTypes: readonly MountType[] = ['bind', 'volume', 'tmpfs', 'image', 'cluster', 'npipe'];

function fromWireMount(wire: WireMount): MountRequest {
  const type = mountTypes.find(each => each === wire.Type);
  if (type === undefined) throw invalidArgument(`mount type unknown: "${wire.Type ?? ''}"`);
  const { BindOptions: bind, VolumeOptions: volume, TmpfsOptions: tmpfs, ImageOptions: image } = wire;
  return {
    type,
    target: wire.Target ?? '',
    source: wire.Source ?? '',
    readOnly: wire.ReadOnly ?? false,
    consistency: wire.Consistency ?? '',
    bindOptions: bind
      ? {
          propagation: bind.Propagation ?? '',
          nonRecursive: bind.NonRecursive ?? false,
          createMountpoint: bind.CreateMountpoint ?? false,
          readOnlyNonRecursive: bind.ReadOnlyNonRecursive ?? false,
          readOnlyForceRecursive: bind.ReadOnlyForceRecursive ?? false,
        }
      : undefined,
    volumeOptions: volume
      ? {
          noCopy: volume.NoCopy ?? false,
          labels: volume.Labels ?? {},
          driverName: volume.DriverConfig?.Name ?? '',
          driverOptions: volume.DriverConfig?.Options ?? {},
          subpath: volume.Subpath ?? '',
        }
      : undefined,
    imageOptions: image ? { subpath: image.Subpath ?? '' } : undefined,
    tmpfsOptions: tmpfs ? { sizeBytes: tmpfs.SizeBytes ?? 0, mode: tmpfs.Mode ?? 0, options: tmpfs.Options ?? [] } : undefined,
  };
}
