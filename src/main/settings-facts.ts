import { statfsSync } from 'node:fs';
import type { DeviceCatalogue } from '#core/device-catalogue.ts';
import type { RuntimeBinary } from '#core/runtime.ts';
import { driverNames } from '#host/logs/drivers.ts';
import { type ProxySettings, withoutPassword } from '#host/registry/proxies.ts';
import type { DaemonSettings } from '#engine/system/ports.ts';
import type { DaemonOptions } from './daemon-options.ts';
import { defaultRuntimeName, findInit } from './programs.ts';

// statfs(2), f_type, with the names that Docker gives them.
const filesystemNames: Readonly<Record<number, string>> = {
  0xef53: 'extfs',
  0x58465342: 'xfs',
  0x9123683e: 'btrfs',
  0x01021994: 'tmpfs',
  0x794c7630: 'overlayfs',
  0x2fc12fc1: 'zfs',
};

const backingFilesystem = (dataRoot: string): string => filesystemNames[statfsSync(dataRoot).type] ?? 'unknown';

/** What `info` tells of the settings. */
const overlayStatus = [
  ['Supports d_type', 'true'],
  ['Using metacopy', 'false'],
  ['Native Overlay Diff', 'true'],
  ['userxattr', 'false'],
] as const;

export function describeSettings(
  options: DaemonOptions,
  runtimes: ReadonlyMap<string, RuntimeBinary>,
  facts: {
    readonly hasUserNamespaces: boolean;
    readonly devices: DeviceCatalogue | undefined;
    readonly proxies: ProxySettings;
    readonly storageDriver: string;
    readonly volumeDrivers: readonly string[];
    readonly networkPlugins: readonly string[];
  },
): DaemonSettings {
  return {
    debug: options.debug,
    labels: options.labels,
    dataRoot: options.dataRoot,
    storageDriver: facts.storageDriver,
    storageStatus: [
      ['Backing Filesystem', backingFilesystem(options.dataRoot)],
      ...(facts.storageDriver === 'overlay2' ? overlayStatus : []),
    ],
    loggingDriver: options.logDriver,
    runtimes: [...runtimes.values()].map(({ name, path, args }) => ({ name, path, args })),
    defaultRuntime: defaultRuntimeName(options.defaultRuntime, runtimes),
    initBinary: findInit(options.initPath) ?? '',
    openAddresses: options.tls.verify
      ? []
      : options.hosts
          .filter(host => host.startsWith('tcp://'))
          .map(host => ({ address: host.slice('tcp://'.length), encrypted: options.tls.enabled })),
    registryMirrors: options.registryMirrors,
    insecureRegistries: options.insecureRegistries,
    addressPools: options.defaultAddressPools,
    proxies: { http: withoutPassword(facts.proxies.http), https: withoutPassword(facts.proxies.https), none: facts.proxies.none },
    volumeDrivers: facts.volumeDrivers,
    networkDrivers: ['bridge', 'host', 'ipvlan', 'macvlan', 'null', 'overlay', ...facts.networkPlugins],
    logDrivers: driverNames,
    cdiSpecDirs: facts.devices?.dirs ?? [],
    discoveredDevices: facts.devices?.names() ?? [],
    securityOptions: [
      `name=seccomp,profile=${options.seccompProfile === 'builtin' ? 'builtin' : options.seccompProfile}`,
      ...(facts.hasUserNamespaces ? ['name=userns'] : []),
      ...(options.defaultCgroupnsMode === 'private' ? ['name=cgroupns'] : []),
      ...(options.noNewPrivileges ? ['name=no-new-privileges'] : []),
    ],
  };
}
