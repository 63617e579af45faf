import { conflict, EngineError, kindOf, messageOf } from '#base/errors.ts';
import { failpoint } from '#base/failpoint.ts';
import { type Context, publish } from './context.ts';
import { findForeign } from './foreign.ts';
import type { Volume } from './model.ts';

export async function removeVolume(ctx: Context, name: string, options: { readonly force: boolean }): Promise<void> {
  try {
    await ctx.locks.run(name, async () => {
      const volume = ctx.table.get(name) ?? (await findForeign(ctx, name))?.volume ?? ctx.table.find(name);
      if (volume.users.length > 0) throw conflict(`remove ${name}: volume is in use - [${volume.users.join(', ')}]`);
      await removeLocked(ctx, volume, options);
    });
  } catch (err) {
    if (!options.force || kindOf(err) !== 'NotFound') throw err;
  }
}

/**
 * Removes a volume nobody uses, with its lock held. It is marked first, so that the next daemon finishes what this one began. `force`: a driver with a list of
 * its own that refuses, or is gone, only keeps what it has; the volume is forgotten.
 */
export async function removeLocked(ctx: Context, volume: Volume, options: { readonly force?: boolean } = {}): Promise<void> {
  ctx.table.put({ ...volume, removing: true });
  failpoint('volume.remove.recorded');
  try {
    await removeFromDriver(ctx, volume);
  } catch (err) {
    if (options.force !== true || volume.driver === 'local') {
      ctx.table.put(volume);
      throw err;
    }
    ctx.log.warn('a volume was forgotten that its driver did not remove', { volume: volume.name, driver: volume.driver, error: err });
  }
  failpoint('volume.remove.removed');
  ctx.table.delete(volume.name);
  publish(ctx, volume, 'destroy');
}

async function removeFromDriver(ctx: Context, volume: Volume): Promise<void> {
  const driver = await ctx.drivers.find(volume.driver);
  if (driver.catalogue === undefined) {
    await driver.unmount(volume, '');
    return await driver.remove(volume);
  }
  for (const user of volume.mounts ?? []) await driver.unmount(volume, user);
  try {
    await driver.remove(volume);
  } catch (err) {
    throw new EngineError(kindOf(err), `remove ${volume.name}: ${messageOf(err)}`, { cause: err });
  }
}
