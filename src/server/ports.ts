import type { BuildService } from '#builder/service.ts';
import type { ContainerService } from '#engine/containers/service.ts';
import type { EventBus } from '#engine/events/bus.ts';
import type { ImageService } from '#engine/images/service.ts';
import type { NetworkService } from '#engine/networks/service.ts';
import type { SystemService } from '#engine/system/service.ts';
import type { VolumeService } from '#engine/volumes/service.ts';

/** The domain as the routes need it. */
export interface Services {
  readonly containers: ContainerService;
  readonly images: Omit<ImageService, 'resolve' | 'idOf' | 'sizeOf' | 'count' | 'recover' | 'close' | 'workspace' | 'release' | 'hasLayer'>;
  readonly builds: Omit<BuildService, 'recover' | 'close'>;
  readonly networks: Pick<NetworkService, 'inspect' | 'users' | 'list' | 'create' | 'remove' | 'prune'>;
  readonly volumes: Pick<VolumeService, 'list' | 'inspect' | 'create' | 'remove' | 'prune' | 'usage'>;
  readonly events: EventBus;
  readonly system: SystemService;
}
