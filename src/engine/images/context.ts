import type { Logger } from '#base/log.ts';
import type { Decompress } from '#core/compression.ts';
import type { ContentStore } from '#core/content.ts';
import type { EventPublisher } from '#core/events.ts';
import type { Snapshotter } from '#core/snapshots.ts';
import type { Platform } from '#oci/platform.ts';
import type { ImageStore } from './image-store.ts';
import type { ImageUsers } from './ports.ts';
import type { Retention } from './retention.ts';

/** What every use case of images works with. */
export interface ImageContext {
  readonly content: ContentStore;
  readonly snapshots: Snapshotter;
  readonly store: ImageStore;
  readonly retention: Retention;
  readonly events: EventPublisher;
  readonly users: ImageUsers;
  /** What this machine runs. */
  readonly platform: Platform;
  readonly decompress: Decompress;
  readonly log: Logger;
}
