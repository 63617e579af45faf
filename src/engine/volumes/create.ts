import { conflict, EngineError, invalidArgument, kindOf, messageOf } from '#base/errors.ts';
import { failpoint } from '#base/failpoint.ts';
import { newId } from '#base/id.ts';
import { type Context, publish } from './context.ts';
import { findForeign } from './foreign.ts';
import { anonymousLabel, type Volume } from './model.ts';

export interface CreateVolume {
  /** Undefined or empty: an anonymous one. */
  readonly name: string | undefined;
  /** Empty: `local`. */
  readonly driver: string;
  readonly options: Readonly<Record<string, string>>;
  readonly labels: Readonly<Record<string, string>>;
  /** A container that uses it from now on. */
  readonly user?: string;
}

const namePattern = /^[a-zA-Z0-9][a-zA-Z0-9_.-]+$/;

/**
 * Finds or makes a volume, or takes up one that a driver has of itself. The record comes before the directory: a directory that no record knows is never
 * touched, it may hold somebody's data.
 */
export async function createVolume(ctx: Context, request: CreateVolume): Promise<{ readonly volume: Volume; readonly created: boolean }> {
  const isAnonymous = request.name === undefined || request.name === '';
  const name = isAnonymous ? newId() : (request.name ?? '');
  const wanted = request.driver === '' ? localDriver : request.driver;
  return await ctx.locks.run(name, async () => {
    const existing = ctx.table.get(name);
    if (existing !== undefined) return { volume: use(ctx, existing, request), created: false };
    const foreign = isAnonymous || request.driver !== '' ? undefined : await findForeign(ctx, name);
    const driver = foreign?.driver ?? (await ctx.drivers.find(wanted));
    if (driver.name === localDriver) checkName(name);
    const spec = { name, options: request.options };
    const volume: Volume = {
      name,
      driver: driver.name,
      options: request.options,
      labels: isAnonymous ? { ...request.labels, [anonymousLabel]: '' } : request.labels,
      createdAt: new Date().toISOString(),
      anonymous: isAnonymous,
      users: request.user === undefined ? [] : [request.user],
      removing: false,
    };
    if (foreign !== undefined || (await driver.catalogue?.find(name, { timeoutMs: findMs })) !== undefined) {
      ctx.table.put(volume);
      return { volume, created: false };
    }
    driver.check(spec);
    ctx.table.put(volume);
    failpoint('volume.create.recorded');
    try {
      await driver.create(spec);
    } catch (err) {
      ctx.table.delete(name);
      throw new EngineError(kindOf(err), driver.catalogue === undefined ? messageOf(err) : `create ${name}: ${messageOf(err)}`, {
        cause: err,
      });
    }
    failpoint('volume.create.made');
    publish(ctx, volume, 'create');
    return { volume, created: true };
  });
}

function checkName(name: string): void {
  if (namePattern.test(name)) return;
  throw invalidArgument(
    `create ${name}: "${name}" includes invalid characters for a local volume name, only "[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory, use absolute path`,
  );
}

const localDriver = 'local';
const findMs = 60_000;

function use(ctx: Context, existing: Volume, request: CreateVolume): Volume {
  if (existing.removing) throw conflict(`volume ${existing.name} is being removed`);
  if (request.driver !== '' && request.driver !== existing.driver) {
    throw conflict(
      `create ${existing.name}: conflict: volume name must be unique: one with driver "${existing.driver}" exists, not with "${request.driver}"`,
    );
  }
  if (request.user === undefined || existing.users.includes(request.user)) return existing;
  const used = { ...existing, users: [...existing.users, request.user] };
  ctx.table.put(used);
  return used;
}
