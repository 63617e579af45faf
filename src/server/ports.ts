import type { RegistryAuth } from '#core/registry.ts';
import type { ContainerService } from '#engine/containers/service.ts';
import type { EventBus } from '#engine/events/bus.ts';
import type { ImageRecord, Report } from '#engine/images/model.ts';
import type { ImageService } from '#engine/images/service.ts';
import type { NetworkService } from '#engine/networks/service.ts';
import type { SystemService } from '#engine/system/service.ts';
import type { Descriptor } from '#oci/manifest.ts';
import type { VolumeService } from '#engine/volumes/service.ts';
import type { Platform } from '#oci/platform.ts';
import type { Reference } from '#oci/reference.ts';

/** The domain as the routes need it. */
export interface Services {
  readonly containers: ContainerService;
  readonly images: Pick<ImageService, 'list' | 'inspect' | 'history' | 'tag' | 'remove' | 'prune' | 'load'>;
  readonly imageTransfers: ImageTransfers;
  readonly networks: Pick<NetworkService, 'inspect' | 'users' | 'list' | 'create' | 'remove' | 'prune'>;
  readonly volumes: Pick<VolumeService, 'list' | 'inspect' | 'create' | 'remove' | 'prune' | 'usage'>;
  readonly events: EventBus;
  readonly system: SystemService;
}

/** Images on their way in and out of this machine. */
export interface ImageTransfers {
  pull(request: PullRequest, report: Report, signal: AbortSignal): Promise<void>;
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
  readonly reference: Reference;
  /** Every tag of the repository; the reference has none then. */
  readonly allTags: boolean;
  /** Undefined: what this machine runs best. */
  readonly platform: Platform | undefined;
  readonly auth: RegistryAuth | undefined;
  /** `X-Meta-…` headers for the registry. */
  readonly headers: Readonly<Record<string, string>>;
}

export interface PushRequest {
  /** Without a tag: every tag of the repository. */
  readonly reference: Reference;
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
