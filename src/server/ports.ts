import type { ContainerService } from '#engine/containers/service.ts';
import type { EventBus } from '#engine/events/bus.ts';
import type { SystemService } from '#engine/system/service.ts';

/** The domain as the routes need it. */
export interface Services {
  readonly containers: ContainerService;
  readonly events: EventBus;
  readonly system: SystemService;
}
