import { conflict, kindOf } from '#base/errors.ts';
import { failpoint } from '#base/failpoint.ts';
import { type Context, driverOf, publish } from './context.ts';
import type { Volume } from './model.ts';

export async function removeVolume(ctx: Context, name: string, options: { readonly force: boolean }): Promise<void> {
  try {
    await ctx.locks.run(name, async () => {
      const volume = ctx.table.find(name);
      if (volume.users.length > 0) throw conflict(`remove ${name}: volume is in use - [${volume.users.join(', ')}]`);
      await removeLocked(ctx, volume);
    });
  } catch (err) {
    if (!options.force || kindOf(err) !== 'NotFound') throw err;
  }
}

/** Removes a volume nobody uses, with its lock held. It is marked first, so that the next daemon finishes what this one began. */
export async function removeLocked(ctx: Context, volume: Volume): Promise<void> {
  ctx.table.put({ ...volume, removing: true });
  failpoint('volume.remove.recorded');
  const driver = driverOf(ctx, volume.driver);
  try {
    await driver.unmount(volume);
    await driver.remove(volume);
  } catch (err) {
    ctx.table.put(volume);
    throw err;
  }
  failpoint('volume.remove.removed');
  ctx.table.delete(volume.name);
  publish(ctx, volume, 'destroy');
}
