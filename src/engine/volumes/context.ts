import type { KeyedLock } from '#base/keyed-lock.ts';
import type { Logger } from '#base/log.ts';
import type { EventPublisher } from '#core/events.ts';
import type { VolumeDrivers } from '#core/volume-driver.ts';
import type { Volume } from './model.ts';
import type { VolumeTable } from './table.ts';

/** What the use cases share. */
export interface Context {
  readonly table: VolumeTable;
  readonly drivers: VolumeDrivers;
  readonly events: EventPublisher;
  readonly log: Logger;
  /** Held while a volume is made, mounted, unmounted or removed. */
  readonly locks: KeyedLock;
}

export function publish(ctx: Context, volume: Pick<Volume, 'name' | 'driver'>, action: string): void {
  ctx.events.publish({ type: 'volume', action, actorId: volume.name, attributes: { driver: volume.driver } });
}
