import type {
  ContainerConfig as WireConfig,
  HostConfig as WireHostConfig,
  Mount as WireMount,
  MountPoint as WireMountPoint,
} from '#api/types/container.ts';
import type { PortMap as WirePortMap } from '#api/types/network.ts';
import type { PortMap } from '#core/network.ts';
import { expandPortMap, expandPorts } from '#core/port-ranges.ts';
import type { ContainerConfig, HostConfig, MountPoint, MountRequest } from '#engine/containers/model.ts';

const listOrNull = (list: readonly string[] | undefined): string[] | null => (list === undefined ? null : [...list]);
const nonEmptyOrNull = <T>(list: readonly T[]): T[] | null => (list.length === 0 ? null : [...list]);
const keySet = (keys: readonly string[]): Record<string, object> => Object.fromEntries(keys.map(key => [key, {}]));

export function toWireConfig(config: ContainerConfig): WireConfig {
  return {
    Hostname: config.hostname,
    Domainname: config.domainname,
    User: config.user,
    AttachStdin: config.attachStdin,
    AttachStdout: config.attachStdout,
    AttachStderr: config.attachStderr,
    ...(config.exposedPorts.length === 0 ? {} : { ExposedPorts: keySet(expandPorts(config.exposedPorts)) }),
    Tty: config.tty,
    OpenStdin: config.openStdin,
    StdinOnce: config.stdinOnce,
    Env: [...config.env],
    Cmd: listOrNull(config.cmd),
    ...(config.healthcheck === undefined ? {} : { Healthcheck: { ...config.healthcheck, Test: listOrNull(config.healthcheck.Test) } }),
    Image: config.image,
    Volumes: config.volumes.length === 0 ? null : keySet(config.volumes),
    WorkingDir: config.workingDir,
    Entrypoint: listOrNull(config.entrypoint),
    ...(config.networkDisabled ? { NetworkDisabled: true } : {}),
    ...(config.macAddress === '' ? {} : { MacAddress: config.macAddress }),
    OnBuild: listOrNull(config.onBuild),
    Labels: { ...config.labels },
    ...(config.stopSignal === undefined ? {} : { StopSignal: config.stopSignal }),
    ...(config.stopTimeoutSeconds === undefined ? {} : { StopTimeout: config.stopTimeoutSeconds }),
    ...(config.shell === undefined ? {} : { Shell: [...config.shell] }),
  };
}

export function toWireHostConfig(config: HostConfig): WireHostConfig {
  const throttles = (rules: HostConfig['blkioDeviceReadBps']) => nonEmptyOrNull(rules.map(each => ({ Path: each.path, Rate: each.rate })));
  return {
    Binds: nonEmptyOrNull(config.binds),
    ContainerIDFile: config.containerIdFile,
    LogConfig: { Type: config.logConfig.type, Config: { ...config.logConfig.config } },
    NetworkMode: config.networkMode,
    PortBindings: toWirePorts(config.portBindings),
    RestartPolicy: { Name: config.restartPolicy.name, MaximumRetryCount: config.restartPolicy.maximumRetryCount },
    AutoRemove: config.autoRemove,
    VolumeDriver: config.volumeDriver,
    VolumesFrom: nonEmptyOrNull(config.volumesFrom),
    ...(config.mounts.length === 0 ? {} : { Mounts: config.mounts.map(toWireMount) }),
    ConsoleSize: [...config.consoleSize],
    ...(Object.keys(config.annotations).length === 0 ? {} : { Annotations: { ...config.annotations } }),
    CapAdd: nonEmptyOrNull(config.capAdd),
    CapDrop: nonEmptyOrNull(config.capDrop),
    CgroupnsMode: config.cgroupnsMode,
    Dns: [...config.dns],
    DnsOptions: [...config.dnsOptions],
    DnsSearch: [...config.dnsSearch],
    ExtraHosts: nonEmptyOrNull(config.extraHosts),
    GroupAdd: nonEmptyOrNull(config.groupAdd),
    IpcMode: config.ipcMode,
    Cgroup: config.cgroup,
    Links: nonEmptyOrNull(config.links),
    OomScoreAdj: config.oomScoreAdj,
    PidMode: config.pidMode,
    Privileged: config.privileged,
    PublishAllPorts: config.publishAllPorts,
    ReadonlyRootfs: config.readonlyRootfs,
    SecurityOpt: nonEmptyOrNull(config.securityOpt),
    ...(Object.keys(config.storageOpt).length === 0 ? {} : { StorageOpt: { ...config.storageOpt } }),
    ...(Object.keys(config.tmpfs).length === 0 ? {} : { Tmpfs: { ...config.tmpfs } }),
    UTSMode: config.utsMode,
    UsernsMode: config.usernsMode,
    ShmSize: config.shmSizeBytes,
    ...(Object.keys(config.sysctls).length === 0 ? {} : { Sysctls: { ...config.sysctls } }),
    Runtime: config.runtime,
    Isolation: config.isolation,
    CpuShares: config.cpuShares,
    Memory: config.memoryBytes,
    NanoCpus: config.nanoCpus,
    CgroupParent: config.cgroupParent,
    BlkioWeight: config.blkioWeight,
    BlkioWeightDevice: config.blkioWeightDevice.map(each => ({ Path: each.path, Weight: each.weight })),
    BlkioDeviceReadBps: throttles(config.blkioDeviceReadBps),
    BlkioDeviceWriteBps: throttles(config.blkioDeviceWriteBps),
    BlkioDeviceReadIOps: throttles(config.blkioDeviceReadIops),
    BlkioDeviceWriteIOps: throttles(config.blkioDeviceWriteIops),
    CpuPeriod: config.cpuPeriod,
    CpuQuota: config.cpuQuota,
    CpuRealtimePeriod: config.cpuRealtimePeriod,
    CpuRealtimeRuntime: config.cpuRealtimeRuntime,
    CpusetCpus: config.cpusetCpus,
    CpusetMems: config.cpusetMems,
    Devices: config.devices.map(each => ({
      PathOnHost: each.pathOnHost,
      PathInContainer: each.pathInContainer,
      CgroupPermissions: each.cgroupPermissions,
    })),
    DeviceCgroupRules: nonEmptyOrNull(config.deviceCgroupRules),
    DeviceRequests: nonEmptyOrNull(
      config.deviceRequests.map(each => ({
        Driver: each.driver,
        Count: each.count,
        DeviceIDs: nonEmptyOrNull(each.deviceIds),
        Capabilities: each.capabilities.map(set => [...set]),
        Options: { ...each.options },
      })),
    ),
    MemoryReservation: config.memoryReservationBytes,
    MemorySwap: config.memorySwapBytes,
    MemorySwappiness: config.memorySwappiness ?? null,
    OomKillDisable: config.oomKillDisable ?? null,
    PidsLimit: config.pidsLimit ?? null,
    Ulimits: nonEmptyOrNull(config.ulimits.map(each => ({ Name: each.name, Soft: each.soft, Hard: each.hard }))),
    CpuCount: 0,
    CpuPercent: 0,
    IOMaximumIOps: 0,
    IOMaximumBandwidth: 0,
    MaskedPaths: listOrNull(config.maskedPaths),
    ReadonlyPaths: listOrNull(config.readonlyPaths),
    ...(config.init === undefined ? {} : { Init: config.init }),
  };
}

export function toWirePorts(ports: PortMap): WirePortMap {
  const entries = Object.entries(expandPortMap(ports)).map(([port, bindings]): [string, WirePortMap[string]] => [
    port,
    bindings.length === 0 ? null : bindings.map(({ hostIp, hostPort }) => ({ HostIp: hostIp, HostPort: hostPort })),
  ]);
  return Object.fromEntries(entries);
}

/** Options that were left out stay out, as the user wrote it. */
function toWireMount(mount: MountRequest): WireMount {
  const { bindOptions: bind, volumeOptions: volume, tmpfsOptions: tmpfs, imageOptions: image } = mount;
  return {
    Type: mount.type,
    ...(mount.source === '' ? {} : { Source: mount.source }),
    Target: mount.target,
    ...(mount.readOnly ? { ReadOnly: true } : {}),
    ...(mount.consistency === '' ? {} : { Consistency: mount.consistency }),
    ...(bind === undefined
      ? {}
      : {
          BindOptions: {
            ...(bind.propagation === '' ? {} : { Propagation: bind.propagation }),
            ...(bind.nonRecursive ? { NonRecursive: true } : {}),
            ...(bind.createMountpoint ? { CreateMountpoint: true } : {}),
            ...(bind.readOnlyNonRecursive ? { ReadOnlyNonRecursive: true } : {}),
            ...(bind.readOnlyForceRecursive ? { ReadOnlyForceRecursive: true } : {}),
          },
        }),
    ...(volume === undefined
      ? {}
      : {
          VolumeOptions: {
            ...(volume.noCopy ? { NoCopy: true } : {}),
            ...(Object.keys(volume.labels).length === 0 ? {} : { Labels: { ...volume.labels } }),
            ...(volume.subpath === '' ? {} : { Subpath: volume.subpath }),
            ...(volume.driverName === '' ? {} : { DriverConfig: { Name: volume.driverName, Options: { ...volume.driverOptions } } }),
          },
        }),
    ...(image === undefined ? {} : { ImageOptions: image.subpath === '' ? {} : { Subpath: image.subpath } }),
    ...(tmpfs === undefined
      ? {}
      : {
          TmpfsOptions: {
            ...(tmpfs.sizeBytes === 0 ? {} : { SizeBytes: tmpfs.sizeBytes }),
            ...(tmpfs.mode === 0 ? {} : { Mode: tmpfs.mode }),
            ...(tmpfs.options.length === 0 ? {} : { Options: tmpfs.options.map(option => [...option]) }),
          },
        }),
  };
}

export const toWireMountPoint = (mount: MountPoint): WireMountPoint => ({
  Type: mount.type,
  ...(mount.name === '' ? {} : { Name: mount.name }),
  Source: mount.source,
  Destination: mount.destination,
  ...(mount.driver === '' ? {} : { Driver: mount.driver }),
  Mode: mount.mode,
  RW: mount.readWrite,
  Propagation: mount.propagation,
});
