import type { ContainerSummary } from './container.ts';
import type { ImageSummary } from './image.ts';
import type { Volume } from './volume.ts';

export interface VersionComponent {
  Name: string;
  Version: string;
  Details?: Record<string, string> | undefined;
}

/** GET /version. */
export interface SystemVersion {
  Platform: { Name: string };
  Components: VersionComponent[];
  Version: string;
  ApiVersion: string;
  MinAPIVersion: string;
  GitCommit: string;
  GoVersion: string;
  Os: string;
  Arch: string;
  KernelVersion: string;
  Experimental?: boolean | undefined;
  BuildTime?: string | undefined;
}

export interface Commit {
  ID: string;
  /** Below API 1.50. */
  Expected?: string | undefined;
}

export interface RuntimeInfo {
  path: string;
  runtimeArgs?: string[] | undefined;
  status?: Record<string, string> | undefined;
}

export interface IndexInfo {
  Name: string;
  Mirrors: string[];
  Secure: boolean;
  Official: boolean;
}

export interface RegistryServiceConfig {
  AllowNondistributableArtifactsCIDRs?: null | undefined;
  AllowNondistributableArtifactsHostnames?: null | undefined;
  InsecureRegistryCIDRs: string[];
  IndexConfigs: Record<string, IndexInfo>;
  Mirrors: string[] | null;
}

export interface SwarmInfo {
  NodeID: string;
  NodeAddr: string;
  LocalNodeState: string;
  ControlAvailable: boolean;
  Error: string;
  RemoteManagers: null;
}

/** GET /info. */
export interface SystemInfo {
  ID: string;
  Containers: number;
  ContainersRunning: number;
  ContainersPaused: number;
  ContainersStopped: number;
  Images: number;
  Driver: string;
  DriverStatus: [string, string][];
  Plugins: { Volume: string[]; Network: string[]; Authorization: string[] | null; Log: string[] };
  MemoryLimit: boolean;
  SwapLimit: boolean;
  /** Below API 1.42. */
  KernelMemory?: boolean | undefined;
  KernelMemoryTCP?: boolean | undefined;
  CpuCfsPeriod: boolean;
  CpuCfsQuota: boolean;
  CPUShares: boolean;
  CPUSet: boolean;
  PidsLimit: boolean;
  IPv4Forwarding: boolean;
  /** Below API 1.50. */
  BridgeNfIptables?: boolean | undefined;
  BridgeNfIp6tables?: boolean | undefined;
  Debug: boolean;
  NFd: number;
  OomKillDisable: boolean;
  NGoroutines: number;
  SystemTime: string;
  LoggingDriver: string;
  CgroupDriver: string;
  CgroupVersion?: string | undefined;
  NEventsListener: number;
  KernelVersion: string;
  OperatingSystem: string;
  OSVersion: string;
  OSType: string;
  Architecture: string;
  IndexServerAddress: string;
  RegistryConfig: RegistryServiceConfig | null;
  NCPU: number;
  MemTotal: number;
  GenericResources: null;
  DockerRootDir: string;
  HttpProxy: string;
  HttpsProxy: string;
  NoProxy: string;
  Name: string;
  Labels: string[];
  ExperimentalBuild: boolean;
  ServerVersion: string;
  Runtimes: Record<string, RuntimeInfo>;
  DefaultRuntime: string;
  Swarm: SwarmInfo;
  LiveRestoreEnabled: boolean;
  Isolation: string;
  InitBinary: string;
  ContainerdCommit: Commit;
  RuncCommit: Commit;
  InitCommit: Commit;
  SecurityOptions: string[];
  ProductLicense?: string | undefined;
  DefaultAddressPools?: { Base: string; Size: number }[] | undefined;
  FirewallBackend?: { Driver: string; Info?: [string, string][] | undefined } | undefined;
  CDISpecDirs: string[] | null;
  DiscoveredDevices?: { Source: string; ID: string }[] | undefined;
  Warnings: string[] | null;
}

export interface BuildCacheRecord {
  ID: string;
  Parents?: string[] | undefined;
  Type: string;
  Description: string;
  InUse: boolean;
  Shared: boolean;
  Size: number;
  CreatedAt: string;
  LastUsedAt: string | null;
  UsageCount: number;
}

/** GET /system/df. A part that was not asked for is null. */
export interface DiskUsage {
  LayersSize?: number | undefined;
  Images?: ImageSummary[] | null | undefined;
  Containers?: ContainerSummary[] | null | undefined;
  Volumes?: Volume[] | null | undefined;
  BuildCache?: BuildCacheRecord[] | null | undefined;
  /** Only below API 1.44. */
  BuilderSize?: number | undefined;
}

/** The headers of /_ping. */
export interface PingInfo {
  ApiVersion: string;
  OsType: string;
  BuilderVersion: string;
  Experimental: boolean;
  Swarm: string;
}
