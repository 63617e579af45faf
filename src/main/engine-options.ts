import type { IdMap } from '#core/id-map.ts';
import type { RuntimeBinary } from '#core/runtime.ts';
import type { ContainerOptions } from '#engine/containers/options.ts';
import type { NetworkOptions } from '#engine/networks/options.ts';
import type { DaemonOptions } from './daemon-options.ts';
import { defaultRuntimeName, findInit } from './programs.ts';
import { readSeccompSetting } from './seccomp-profile.ts';

export function networkOptions(options: DaemonOptions, engineId: string, bridgeName: string): NetworkOptions {
  return {
    bridgeName: bridgeName === 'none' ? undefined : bridgeName,
    bridgeIsGiven: options.bridge !== undefined,
    bip: options.bip,
    fixedCidr: options.fixedCidr,
    bip6: options.bip6,
    fixedCidrV6: options.fixedCidrV6,
    ipv6: options.ipv6,
    defaultGateways: { 4: options.defaultGateway, 6: options.defaultGatewayV6 },
    defaultNetworkOptions: options.defaultNetworkOptions,
    allowDirectRouting: options.allowDirectRouting,
    hostGateways: options.hostGatewayIps,
    mtu: options.mtu,
    icc: options.icc,
    masquerade: options.ipMasq,
    forwarding: options.ipForward,
    hostBinding: options.ip,
    addressPools: options.defaultAddressPools,
    engineId,
    dns: options.dns,
    dnsOptions: options.dnsOptions,
    dnsSearch: options.dnsSearch,
  };
}

export interface ContainerPlaces {
  readonly dataDir: string;
  readonly cgroupParent: string;
  readonly runtimes: () => ReadonlyMap<string, RuntimeBinary>;
  readonly idMap: IdMap | undefined;
  readonly storageDriver: string;
}

/** The containers' view of the options; what SIGHUP may change is read anew at each use. */
export function containerOptions(options: () => DaemonOptions, places: ContainerPlaces): ContainerOptions {
  const fixed = options();
  return {
    dataDir: places.dataDir,
    cgroupParent: places.cgroupParent,
    get runtimes() {
      return places.runtimes();
    },
    get defaultRuntime() {
      return defaultRuntimeName(options().defaultRuntime, places.runtimes());
    },
    init: fixed.init,
    initPath: findInit(fixed.initPath),
    defaultUlimits: fixed.defaultUlimits,
    defaultLog: { type: fixed.logDriver, config: fixed.logOpts },
    defaultShmSizeBytes: fixed.defaultShmSizeBytes,
    defaultIpcMode: fixed.defaultIpcMode,
    defaultCgroupnsMode: fixed.defaultCgroupnsMode,
    defaultStopTimeoutSeconds: fixed.defaultStopTimeoutSeconds,
    idMap: places.idMap,
    defaultStorageSizeBytes: new Map(Object.entries(fixed.storageSizes)).get(places.storageDriver),
    noNewPrivileges: fixed.noNewPrivileges,
    seccompProfile: readSeccompSetting(fixed.seccompProfile),
  };
}
