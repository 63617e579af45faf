import type { RegistryAuth } from '#core/registry.ts';
import type { ContainerService } from '#engine/containers/service.ts';
import type { EventBus } from '#engine/events/bus.ts';
import type { ImageRecord, Report } from '#engine/images/model.ts';
import type { ImageService } from '#engine/images/service.ts';
import type { NetworkService } from '#engine/networks/service.ts';
import type { SystemService } from '#engine/system/service.ts';
import type { Descriptor } from '#oci/manifest.ts';
import type { Platform } from '#oci/platform.ts';

/** The domain as the routes need it. */
export interface Services {
  readonly containers: ContainerService;
  readonly images: Pick<ImageService, 'list' | 'inspect' | 'history' | 'tag' | 'remove' | 'prune' | 'load'>;
  readonly imageTransfers: ImageTransfers;
  readonly networks: Pick<NetworkService, 'inspect' | 'users' | 'list' | 'create' | 'remove' | 'prune'>;
  readonly volumes: VolumeApi;
  readonly events: EventBus;
  readonly system: SystemService;
}

/** Images on their way in and out of this machine. */
export interface ImageTransfers {
  /** Pulls one tag or digest; with an empty `tag` and a name without one, every tag of the repository. */
  pull(request: PullRequest, report: Report, signal: AbortSignal): Promise<void>;
  /** Pushes one tag; with an empty `tag` and a name without one, every tag there is. */
  push(request: PushRequest, report: Report, signal: AbortSignal): Promise<void>;
  /** An archive of these images. Names are checked before the first byte. */
  save(names: readonly string[], options: { readonly platform: Platform | undefined }, signal: AbortSignal): AsyncIterable<Uint8Array>;
  /** Makes an image of one layer from a tar of a root filesystem. */
  import(source: AsyncIterable<Uint8Array>, options: ImportOptions, report: Report, signal: AbortSignal): Promise<Pick<ImageRecord, 'id'>>;
  /** What a registry says about an image, without pulling it. */
  distribution(name: string, auth: RegistryAuth | undefined, signal: AbortSignal): Promise<DistributionInfo>;
  /** Checks credentials. Rejects with Unauthenticated. */
  login(auth: RegistryAuth, signal: AbortSignal): Promise<{ readonly identityToken: string }>;
}

export interface PullRequest {
  readonly name: string;
  /** A tag or a digest; empty when `name` says it all. */
  readonly tag: string;
  /** `os/arch[/variant]`; undefined: this machine's. */
  readonly platform: string | undefined;
  readonly auth: RegistryAuth | undefined;
  /** `X-Meta-…` headers for the registry. */
  readonly headers: Readonly<Record<string, string>>;
}

export interface PushRequest {
  readonly name: string;
  readonly tag: string;
  readonly platform: Platform | undefined;
  readonly auth: RegistryAuth | undefined;
  readonly headers: Readonly<Record<string, string>>;
}

export interface ImportOptions {
  /** Empty: the image gets no name. */
  readonly repo: string;
  readonly tag: string;
  readonly message: string;
  /** Dockerfile instructions to apply, such as `CMD ["sh"]`. */
  readonly changes: readonly string[];
  readonly platform: string | undefined;
}

export interface DistributionInfo {
  readonly descriptor: Descriptor;
  readonly platforms: readonly Platform[];
}

/** Volumes as the API shows them. */
export interface VolumeApi {
  /** Rejects with NotFound `get x: no such volume`. */
  inspect(name: string): VolumeInfo | Promise<VolumeInfo>;
  list(filters: ReadonlyMap<string, readonly string[]>): VolumeInfo[] | Promise<VolumeInfo[]>;
  /** The existing one when there is one of this name and driver. Rejects with Conflict when it has another driver, InvalidArgument. */
  create(request: CreateVolume): Promise<VolumeInfo>;
  /** Rejects with Conflict while a container uses it; with NotFound unless forced. */
  remove(name: string, options: { readonly force: boolean }): Promise<void>;
  /** Removes anonymous volumes that nobody uses; named ones too with the filter `all=true`. */
  prune(filters: ReadonlyMap<string, readonly string[]>): Promise<{ readonly names: readonly string[]; readonly reclaimedBytes: number }>;
  /** Bytes on disk, and how many containers use it. Reads the whole volume. */
  usage(name: string): Promise<{ readonly sizeBytes: number; readonly containers: number }>;
}

export interface CreateVolume {
  /** Undefined: an anonymous one. */
  readonly name: string | undefined;
  readonly driver: string;
  readonly driverOptions: Readonly<Record<string, string>>;
  readonly labels: Readonly<Record<string, string>>;
}

export interface VolumeInfo {
  readonly name: string;
  readonly driver: string;
  readonly mountpoint: string;
  /** ISO 8601. */
  readonly created: string;
  readonly driverOptions: Readonly<Record<string, string>>;
  readonly labels: Readonly<Record<string, string>>;
}
