import type { IndexInfo, SystemInfo as WireInfo, SystemVersion as WireVersion } from '#api/types/system.ts';
import { maxApiVersion, minApiVersion } from '#api/versions.ts';
import type { SystemInfo, SystemVersion } from '#engine/system/service.ts';

export function toWireVersion(version: SystemVersion): WireVersion {
  const { product } = version;
  const engine = {
    ApiVersion: maxApiVersion,
    Arch: version.architecture,
    BuildTime: product.buildTime,
    Experimental: String(product.experimental),
    GitCommit: product.gitCommit,
    GoVersion: product.runtimeVersion,
    KernelVersion: version.kernelVersion,
    MinAPIVersion: minApiVersion,
    Os: 'linux',
  };
  return {
    Platform: { Name: 'Berth' },
    Components: [
      // Clients show the details of the component of this name.
      { Name: 'Engine', Version: product.version, Details: engine },
      ...version.components.map(({ name, version: its }) => ({ Name: name, Version: its })),
    ],
    Version: product.version,
    ApiVersion: maxApiVersion,
    MinAPIVersion: minApiVersion,
    GitCommit: product.gitCommit,
    GoVersion: product.runtimeVersion,
    Os: 'linux',
    Arch: version.architecture,
    KernelVersion: version.kernelVersion,
    ...(product.experimental ? { Experimental: true } : {}),
    ...(product.buildTime === '' ? {} : { BuildTime: product.buildTime }),
  };
}

const hubAddress = 'https://index.docker.io/v1/';

export function toWireInfo(info: SystemInfo): WireInfo {
  const { settings, machine, cgroups, containers } = info;
  const versionOf = (name: string): string => info.components.find(each => each.name === name)?.version ?? '';
  return {
    ID: info.id,
    Containers: containers.total,
    ContainersRunning: containers.running,
    ContainersPaused: containers.paused,
    ContainersStopped: containers.stopped,
    Images: info.imageCount,
    Driver: settings.storageDriver,
    DriverStatus: settings.storageStatus.map(([name, value]) => [name, value]),
    Plugins: {
      Volume: [...settings.volumeDrivers],
      Network: [...settings.networkDrivers],
      Authorization: null,
      Log: [...settings.logDrivers],
    },
    MemoryLimit: cgroups.memoryLimit,
    SwapLimit: cgroups.swapLimit,
    CpuCfsPeriod: cgroups.cpuCfsQuota,
    CpuCfsQuota: cgroups.cpuCfsQuota,
    CPUShares: cgroups.cpuShares,
    CPUSet: cgroups.cpuSet,
    PidsLimit: cgroups.pidsLimit,
    IPv4Forwarding: machine.ipv4Forwarding,
    Debug: settings.debug,
    NFd: machine.openFiles,
    OomKillDisable: cgroups.oomKillDisable,
    // What comes nearest to a goroutine here: what the process does at the same time.
    NGoroutines: machine.threads,
    SystemTime: new Date().toISOString(),
    LoggingDriver: settings.loggingDriver,
    CgroupDriver: 'cgroupfs',
    CgroupVersion: String(cgroups.version),
    NEventsListener: info.listenerCount,
    KernelVersion: machine.kernelVersion,
    OperatingSystem: machine.operatingSystem,
    OSVersion: machine.osVersion,
    OSType: 'linux',
    Architecture: machine.machine,
    IndexServerAddress: hubAddress,
    RegistryConfig: {
      InsecureRegistryCIDRs: settings.insecureRegistries.filter(isCidr),
      IndexConfigs: indexConfigs(settings.insecureRegistries, settings.registryMirrors),
      Mirrors: [...settings.registryMirrors],
    },
    NCPU: machine.cpuCount,
    MemTotal: machine.memoryBytes,
    GenericResources: null,
    DockerRootDir: settings.dataRoot,
    HttpProxy: settings.proxies.http,
    HttpsProxy: settings.proxies.https,
    NoProxy: settings.proxies.none,
    Name: machine.hostname,
    Labels: [...settings.labels],
    ExperimentalBuild: info.product.experimental,
    ServerVersion: info.product.version,
    Runtimes: Object.fromEntries(
      settings.runtimes.map(({ name, path, args }) => [name, args.length === 0 ? { path } : { path, runtimeArgs: [...args] }]),
    ),
    DefaultRuntime: settings.defaultRuntime,
    Swarm: { NodeID: '', NodeAddr: '', LocalNodeState: 'inactive', ControlAvailable: false, Error: '', RemoteManagers: null },
    // Containers do outlive the daemon here, always.
    LiveRestoreEnabled: true,
    Isolation: '',
    InitBinary: settings.initBinary,
    ContainerdCommit: { ID: '' },
    RuncCommit: { ID: versionOf(settings.defaultRuntime) },
    InitCommit: { ID: versionOf('init') },
    SecurityOptions: [...settings.securityOptions],
    DefaultAddressPools: settings.addressPools.map(({ base, size }) => ({ Base: base, Size: size })),
    FirewallBackend: { Driver: 'nftables' },
    CDISpecDirs: [...settings.cdiSpecDirs],
    ...(settings.discoveredDevices.length === 0
      ? {}
      : { DiscoveredDevices: settings.discoveredDevices.map(ID => ({ Source: 'cdi', ID })) }),
    Warnings: [...info.warnings],
  };
}

const isCidr = (text: string): boolean => /\/\d+$/.test(text);

function indexConfigs(insecure: readonly string[], mirrors: readonly string[]): Record<string, IndexInfo> {
  const configs: Record<string, IndexInfo> = {
    'docker.io': { Name: 'docker.io', Mirrors: mirrors.filter(mirror => /^https?:/.test(mirror)), Secure: true, Official: true },
  };
  for (const name of insecure) if (!isCidr(name)) configs[name] = { Name: name, Mirrors: [], Secure: false, Official: false };
  return configs;
}
