import { cpus } from 'node:os';
import { join } from 'node:path';
import type { Logger } from '#base/log.ts';
import type { EventPublisher } from '#core/events.ts';
import type { RecordStore } from '#core/records.ts';
import type { ContainerRuntime } from '#core/runtime.ts';
import type { Snapshotter } from '#core/snapshots.ts';
import type { BuildCache } from '#builder/cache/build-cache.ts';
import { type BuildService, createBuildService } from '#builder/service.ts';
import { createBuildStepRunner } from '#engine/containers/build-step.ts';
import type { ContainerOptions } from '#engine/containers/options.ts';
import type { HostFacts } from '#engine/containers/ports.ts';
import type { ContainerService } from '#engine/containers/service.ts';
import type { ImageService } from '#engine/images/service.ts';
import type { NetworkService } from '#engine/networks/service.ts';
import { createBuildFiles } from '#host/build-files/build-files.ts';
import { checkout } from '#host/remote-sources/git.ts';
import { download, type FetchUrl } from '#host/remote-sources/download.ts';
import { rememberMountPoints } from '#host/rootfs/mount-points.ts';
import { createRootFiles } from '#host/rootfs/root-files.ts';
import { hostPlatform } from '#oci/platform.ts';
import { bytesOfDisk } from './disk-share.ts';

/** What builds stand on. */
export interface BuilderParts {
  readonly dataRoot: string;
  readonly execRoot: string;
  readonly records: RecordStore;
  readonly cache: BuildCache;
  readonly images: ImageService;
  readonly snapshots: Snapshotter;
  readonly runtime: ContainerRuntime;
  readonly networks: NetworkService;
  readonly containers: Pick<ContainerService, 'networkNamespaceOf'>;
  readonly host: HostFacts;
  readonly options: ContainerOptions;
  /** A user namespace that maps ids as those of containers are. */
  readonly userNamespaceFd: number | undefined;
  /** How much the cache may keep; see DaemonOptions. */
  keeps(): number | 'default' | 'all';
  readonly events: EventPublisher;
  readonly fetchUrl: FetchUrl;
  readonly log: Logger;
}

/** A few at a time even where there is one processor: steps wait for disks and networks too. */
const fewestSteps = 4;

/** Introduces builds to the engine. */
export function openBuilder(parts: BuilderParts): BuildService & AsyncDisposable {
  const { dataRoot, execRoot, records, cache, images, snapshots, runtime, networks, containers, host, options, keeps, events, log } = parts;
  const dataDir = join(dataRoot, 'build');
  const files = createBuildFiles(Math.max(2, cpus().length), parts.userNamespaceFd);
  const builds = createBuildService({
    records,
    cache,
    images,
    snapshots,
    files,
    steps: createBuildStepRunner({
      runtime,
      networks,
      namespaceOf: ref => containers.networkNamespaceOf(ref),
      files: { ...createRootFiles(), rememberMountPoints },
      host,
      options,
      workDir: join(dataDir, 'work'),
      log,
    }),
    remotes: { download: (url, directory, wanted, signal) => download(parts.fetchUrl, url, directory, wanted, signal), checkout },
    platform: hostPlatform(),
    dataDir,
    secretsDir: join(execRoot, 'build-secrets'),
    parallelism: Math.max(fewestSteps, cpus().length),
    keepBytes: () => keepBytes(keeps(), dataRoot),
    isOfImage: chain => images.hasLayer(chain),
    events,
    log,
  });
  return {
    ...builds,
    async [Symbol.asyncDispose]() {
      await builds.close();
      files[Symbol.dispose]();
    },
  };
}

const partOfDisk = 0.1;
const leastBytes = 2_000_000_000;

/** Undefined: everything. */
function keepBytes(keeps: number | 'default' | 'all', dataRoot: string): number | undefined {
  if (keeps === 'all') return undefined;
  if (keeps !== 'default') return keeps;
  return Math.max(leastBytes, bytesOfDisk({ part: partOfDisk }, dataRoot));
}
