import { messageOf } from '#base/errors.ts';
import type { VolumeDriver, VolumeState } from '#core/volume-driver.ts';
import type { Context } from './context.ts';
import type { Volume } from './model.ts';

/** A volume that a driver has of itself, and nobody here has used yet. */
export interface ForeignVolume {
  readonly volume: Volume;
  readonly state: VolumeState;
  readonly driver: VolumeDriver;
}

/** Nobody waits long for a driver only because it might know a name. */
const lookMs = 2000;

/** Asks the drivers with a list of their own for a name that no record knows. Those that do not answer are as those that do not have it. */
export async function findForeign(ctx: Context, name: string): Promise<ForeignVolume | undefined> {
  const drivers = await ctx.drivers.catalogues((driver, err) => logSilence(ctx, driver, err));
  const found = await Promise.all(
    drivers.map(async driver => {
      try {
        const state = await driver.catalogue.find(name, { timeoutMs: lookMs });
        return state && { volume: recordOf(driver, name, state), state, driver };
      } catch (err) {
        logSilence(ctx, driver.name, err);
        return undefined;
      }
    }),
  );
  return found.find(one => one !== undefined);
}

/** What drivers have that no record knows; `warnings` of those that did not tell. */
export async function listForeign(ctx: Context): Promise<{ readonly volumes: ForeignVolume[]; readonly warnings: string[] }> {
  const warnings: string[] = [];
  const warn = (name: string, err: unknown): void => void warnings.push(`error listing volumes of the driver ${name}: ${messageOf(err)}`);
  const drivers = await ctx.drivers.catalogues(warn);
  const lists = await Promise.all(
    drivers.map(async driver => {
      try {
        const states = await driver.catalogue.list({ timeoutMs: lookMs });
        return states.map(state => ({ volume: recordOf(driver, state.name, state), state, driver }));
      } catch (err) {
        warn(driver.name, err);
        return [];
      }
    }),
  );
  return { volumes: lists.flat().filter(({ volume }) => ctx.table.get(volume.name) === undefined), warnings };
}

function logSilence(ctx: Context, driver: string, error: unknown): void {
  ctx.log.warn('a volume driver did not say which volumes it has', { driver, error });
}

const recordOf = (driver: VolumeDriver, name: string, { createdAt }: VolumeState): Volume => ({
  name,
  driver: driver.name,
  options: {},
  labels: {},
  createdAt: createdAt ?? '',
  anonymous: false,
  users: [],
  removing: false,
});
