import { mkdir } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import type { Logger } from '#base/log.ts';
import { type IdMap, rootOwner } from '#core/id-map.ts';
import type { RuntimeBinary } from '#core/runtime.ts';
import { applyChanges } from '#builder/dockerfile/changes.ts';
import { BuildCache } from '#builder/cache/build-cache.ts';
import { createContainerService } from '#engine/containers/create-service.ts';
import { letPass } from '#engine/containers/user-namespace.ts';
import { createEventBus } from '#engine/events/bus.ts';
import { createImageService } from '#engine/images/service.ts';
import { createNetworkService } from '#engine/networks/service.ts';
import { createSystemService } from '#engine/system/service.ts';
import { createVolumeService } from '#engine/volumes/service.ts';
import { createDeviceCatalogue } from '#host/cdi/catalogue.ts';
import { limitsSupported } from '#host/cgroups/limits.ts';
import type { RealtimeBudget } from '#host/cgroups/realtime.ts';
import { compress } from '#host/compression/compress.ts';
import { decompress } from '#host/compression/decompress.ts';
import { openContentStore } from '#host/content/local-store.ts';
import { createNameServer } from '#host/dns/name-server.ts';
import { createContainerFiles } from '#host/files/files.ts';
import { openLogStore } from '#host/logs/store.ts';
import { readHostFacts } from '#host/machine/host-facts.ts';
import { readHosts, readResolvConf } from '#host/machine/network-files.ts';
import { createMachine } from '#host/machine/machine.ts';
import { createSharedMemory } from '#host/machine/shared-memory.ts';
import { createProcessTable } from '#host/machine/processes.ts';
import { createUsageMeter } from '#host/machine/usage-meter.ts';
import { createFlowForgetter } from '#host/netlink/conntrack.ts';
import { createNetworkDriver } from '#host/netlink/network-driver.ts';
import { createNetworkWatch } from '#host/netlink/network-watch.ts';
import { createFirewall } from '#host/nftables/firewall.ts';
import { createNetworkPlugins } from '#host/network-plugins/network-plugins.ts';
import { pluginPlaces } from '#host/plugins/discovery.ts';
import { createKeyFiles } from '#host/overlay-keys/key-files.ts';
import { createHostPorts } from '#host/ports/host-ports.ts';
import { createRegistryClient } from '#host/registry/client.ts';
import { defaultRetry } from '#host/registry/retry.ts';
import { openPins } from '#host/rootfs/pins.ts';
import { createRootFiles } from '#host/rootfs/root-files.ts';
import { makeNullDevice } from '#host/runtime/null-device.ts';
import { openRuntime } from '#host/runtime/runtime.ts';
import { takeProxies } from '#host/registry/proxies.ts';
import { createFetchUrl, openUrl } from '#host/remote-sources/download.ts';
import { openStorage } from '#host/snapshots/drivers.ts';
import { openSqliteRecords } from '#host/state/sqlite-records.ts';
import { openNftables } from '#host/sys/nftables.ts';
import { createVolumeDrivers } from '#host/volumes/drivers.ts';
import { createLocalVolumeDriver } from '#host/volumes/local-driver.ts';
import { hostPlatform } from '#oci/platform.ts';
import type { Services } from '#server/ports.ts';
import { openBuilder } from './builder.ts';
import { bytesOfDisk } from './disk-share.ts';
import type { DaemonOptions } from './daemon-options.ts';
import { engineId } from './engine-id.ts';
import { containerOptions, networkOptions } from './engine-options.ts';
import { instanceFor } from './instance.ts';
import { componentVersions, defaultRuntimeName, findInit, findRuntimes } from './programs.ts';
import { reloadAttributes } from './reload.ts';
import { openIdMap } from './remapping.ts';
import { describeSettings } from './settings-facts.ts';
import { journalSocket, renderTag } from './log-tools.ts';
import { productVersion } from './version.ts';

export interface Engine {
  readonly services: Services;
  /** Makes records and kernel agree after whatever ended the daemon before. Returns what was repaired, in words. */
  recover(): Promise<string[]>;
  /** The options have changed. */
  reloaded(): void;
  /** Lets go of the host; containers run on. */
  close(): Promise<void>;
}

/** Opens every part of the engine and introduces them to each other: the one place where the domain meets its adapters. */
export async function openEngine(options: () => DaemonOptions, idMap: IdMap | undefined, log: Logger): Promise<Engine> {
  const { dataRoot, execRoot, bridge, cgroupParent: wantedParent } = options();
  const instance = instanceFor(dataRoot);
  const cgroupParent = wantedParent ?? instance.cgroupParent;
  await using opened = new AsyncDisposableStack();
  const proxies = takeProxies(process.env, options().proxies);
  const containersDir = join(dataRoot, 'containers');
  for (const dir of [containersDir, join(dataRoot, 'volumes'), join(dataRoot, 'tmp')]) await mkdir(dir, { recursive: true, mode: 0o710 });
  const owners = idMap && opened.use(await openIdMap(idMap));
  letPass(idMap, containersDir);

  const records = openSqliteRecords(join(dataRoot, 'berth.db'));
  opened.defer(() => records.close());
  const events = createEventBus();
  const runtimes = rememberedRuntimes(() => options().runtimes);
  const [content, snapshots, runtime] = await Promise.all([
    openContentStore({ dir: join(dataRoot, 'content'), log }),
    openStorage({
      driver: options().storageDriver,
      dir: join(dataRoot, 'layers'),
      records,
      log,
      maxLayerBytes: options().maxLayerBytes,
      owners,
      sizes: options().storageSizes,
    }),
    openRuntime({
      execRoot,
      cgroupParent,
      log,
      ...nullDevice(dataRoot, log),
      ...realtimeBudget(options()),
      ...warmUp(options().defaultRuntime, runtimes()),
    }),
  ]);
  opened.defer(async () => await runtime.close());
  const id = engineId(records);

  const driver = opened.use(createNetworkDriver({ namespaceDir: join(execRoot, 'netns'), userNamespaceDir: join(execRoot, 'userns') }));
  const firewall = createFirewall({
    table: instance.tableName,
    nftables: opened.use(openNftables()),
    forgetFlows: createFlowForgetter({ hostAddresses: driver.hostAddresses, log }),
    hostDecides: options().hostFirewall,
    log,
  });
  const networkPlugins = createNetworkPlugins(pluginPlaces(execRoot), { hostAddress: driver.egressAddress, log });
  const networks = createNetworkService({
    records,
    driver,
    firewall,
    hostPorts: createHostPorts({ execRoot, log }),
    watch: createNetworkWatch(log),
    plugins: networkPlugins,
    keyFiles: createKeyFiles(),
    createNameServer: lookup => createNameServer({ lookup, log }),
    hostFiles: { hosts: readHosts, resolvConf: readResolvConf },
    events,
    log,
    options: networkOptions(options(), id, bridge ?? instance.bridgeName),
  });
  opened.defer(async () => await networks.close());

  const fetchUrl = createFetchUrl(proxies);
  const registry = createRegistryClient({
    get mirrors() {
      return options().registryMirrors;
    },
    get insecureRegistries() {
      return options().insecureRegistries;
    },
    userAgent: `berth/${productVersion}`,
    proxies,
    retry: { ...defaultRetry, attempts: options().maxDownloadAttempts },
    log,
  });
  const buildCache = new BuildCache(records);
  const images = createImageService({
    content,
    snapshots,
    records,
    events,
    registry,
    contentUsers: [buildCache],
    users: { usedBy: imageId => containers.usersOfImage(imageId).map(user => ({ containerId: user.id, running: user.running })) },
    applyChanges: (config, changes) => applyChanges(config, changes, hostPlatform()),
    platform: hostPlatform(),
    compress,
    decompress,
    openUrl: (url, signal) => openUrl(fetchUrl, url, signal),
    budget: () => ({ ...options().diskBudget, totalBytes: bytesOfDisk(options().diskBudget.total, dataRoot) }),
    caches: () => [builds.reclaimable],
    maxDownloads: options().maxConcurrentDownloads,
    maxUploads: options().maxConcurrentUploads,
    log,
  });
  opened.defer(async () => await images.close());
  const localVolumes = createLocalVolumeDriver({ dir: join(dataRoot, 'volumes'), owner: rootOwner(idMap) });
  const volumeDrivers = createVolumeDrivers(localVolumes, pluginPlaces(execRoot));
  const volumes = createVolumeService({
    records,
    drivers: volumeDrivers,
    events,
    log,
  });

  const limits = limitsSupported(runtime.cgroups.hierarchies);
  const host = readHostFacts(limits);
  const settings = containerOptions(options, { dataDir: containersDir, cgroupParent, runtimes, idMap, storageDriver: snapshots.name });
  const { cdiSpecDirs } = options();
  const devices = cdiSpecDirs && createDeviceCatalogue({ dirs: cdiSpecDirs, log });
  const containers = createContainerService({
    records,
    runtime,
    snapshots,
    images,
    networks,
    volumes,
    logs: openLogStore({ dir: containersDir, log, render: renderTag, journalSocket: journalSocket() }),
    files: createRootFiles(),
    pins: openPins(join(execRoot, 'pins')),
    fileWork: createContainerFiles({ pidsOf: id => runtime.pids(id) }),
    decompress,
    host,
    devices,
    sharedMemory: createSharedMemory(),
    processes: createProcessTable(),
    meter: createUsageMeter(),
    events,
    log,
    options: settings,
  });
  opened.defer(async () => await containers.close());

  const builds = opened.use(
    openBuilder({
      dataRoot,
      execRoot,
      records,
      cache: buildCache,
      images,
      fetchUrl,
      snapshots,
      runtime,
      networks,
      containers,
      host,
      options: settings,
      userNamespaceFd: owners?.namespaceFd,
      keeps: () => options().buildCacheKeeps,
      events,
      log,
    }),
  );

  const system = createSystemService({
    id,
    product: {
      version: productVersion,
      gitCommit: '',
      buildTime: '',
      runtimeVersion: `bun${Bun.version}`,
      experimental: options().experimental,
    },
    machine: createMachine(log),
    cgroups: limits,
    settings: () =>
      describeSettings(options(), runtimes(), {
        hasUserNamespaces: idMap !== undefined,
        devices,
        proxies,
        storageDriver: snapshots.name,
        volumeDrivers: volumeDrivers.names(),
        networkPlugins: networkPlugins.names().networks,
      }),
    components: async () => await componentVersions(runtimes(), findInit(options().initPath)),
    containers,
    images,
    events,
  });

  const resources = opened.move();
  return {
    services: { containers, images, builds, networks, volumes, events, system },
    async recover() {
      const repaired = await containers.recover(AbortSignal.timeout(60_000));
      return [...repaired, ...(await builds.recover()), ...(await images.recover())];
    },
    reloaded() {
      events.publish({
        type: 'daemon',
        action: 'reload',
        actorId: id,
        attributes: { ...reloadAttributes(options(), runtimes()), name: hostname() },
      });
    },
    close: async () => await resources.disposeAsync(),
  };
}

function realtimeBudget({ cpuRealtimePeriodUs: periodUs, cpuRealtimeRuntimeUs: runtimeUs }: DaemonOptions): { realtime?: RealtimeBudget } {
  return periodUs === 0 && runtimeUs === 0 ? {} : { realtime: { periodUs, runtimeUs } };
}

function nullDevice(dataRoot: string, log: Logger): { nullDevice?: string } {
  const path = makeNullDevice(join(dataRoot, 'null'));
  if (path !== undefined) return { nullDevice: path };
  log.warn('the data root cannot carry devices: crun may change the owner of /dev/null for an exec or a user namespace');
  return {};
}

/** The runtime most containers will use, to be looked up before the first of them. */
function warmUp(wanted: string | undefined, runtimes: ReadonlyMap<string, RuntimeBinary>): { warmUp?: RuntimeBinary } {
  const runtime = runtimes.get(defaultRuntimeName(wanted, runtimes));
  return runtime === undefined ? {} : { warmUp: runtime };
}

/** Looking for programs costs system calls, and every container asks: found anew only when the settings have changed. */
function rememberedRuntimes(added: () => readonly RuntimeBinary[]): () => ReadonlyMap<string, RuntimeBinary> {
  let known: { readonly added: readonly RuntimeBinary[]; readonly found: ReadonlyMap<string, RuntimeBinary> } | undefined;
  return () => {
    if (known?.added !== added()) known = { added: added(), found: findRuntimes(added()) };
    return known.found;
  };
}
