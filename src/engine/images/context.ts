import type { KeyedLock } from '#base/keyed-lock.ts';
import type { Logger } from '#base/log.ts';
import type { Semaphore } from '#base/semaphore.ts';
import type { Compress, Decompress } from '#core/compression.ts';
import type { ContentStore } from '#core/content.ts';
import type { EventPublisher } from '#core/events.ts';
import type { RegistryClient } from '#core/registry.ts';
import type { Snapshotter } from '#core/snapshots.ts';
import type { Platform } from '#oci/platform.ts';
import type { ImageUses } from './image-uses.ts';
import type { ImageStore } from './image-store.ts';
import type { BlobSources } from './blob-sources.ts';
import type { LayerFlights } from './layer-flights.ts';
import type { ApplyChanges, ContentUser, ImageUsers } from './ports.ts';
import type { Retention } from './retention.ts';
import type { Room } from './room.ts';

/** What every use case of images works with. */
export interface ImageContext {
  readonly content: ContentStore;
  readonly snapshots: Snapshotter;
  readonly store: ImageStore;
  readonly retention: Retention;
  readonly events: EventPublisher;
  readonly users: ImageUsers;
  readonly applyChanges: ApplyChanges;
  /** Who else needs layers. */
  readonly contentUsers: readonly ContentUser[];
  readonly uses: ImageUses;
  readonly room: Room;
  /** What this machine runs. */
  readonly platform: Platform;
  readonly decompress: Decompress;
  readonly log: Logger;
}

/** What talking to registries needs besides. */
export interface RegistryContext extends ImageContext {
  readonly registry: RegistryClient;
  readonly sources: BlobSources;
  readonly compress: Compress;
  /** How many layers may be downloaded, and uploaded, at the same time. */
  readonly downloads: Semaphore;
  readonly uploads: Semaphore;
  readonly flights: LayerFlights;
  /** One download per blob. */
  readonly blobLocks: KeyedLock;
}
