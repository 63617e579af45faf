import { kindOf, notFound } from '#base/errors.ts';
import type { VolumeCatalogue, VolumeDriver, VolumeSpec, VolumeState } from '#core/volume-driver.ts';
import type { PluginClient } from '../plugins/client.ts';

/** As Docker waits: for what may do work, and for what only tells. */
const workMs = 120_000;
const tellMs = 60_000;

interface PluginVolume {
  readonly Name?: string;
  readonly Mountpoint?: string;
  readonly Status?: Readonly<Record<string, unknown>> | null;
  readonly CreatedAt?: string;
}

/** Volumes of a plugin (docs.docker.com/engine/extend/plugins_volume). Everything is the plugin's: what there is, where it is, who has it mounted. */
export function createPluginDriver(
  plugin: PluginClient,
  scope: 'local' | 'global',
): VolumeDriver & { readonly catalogue: VolumeCatalogue } {
  const { name: driverName } = plugin.address;
  const work = async <T extends object>(method: string, body: object): Promise<T> =>
    await plugin.call<T>(`VolumeDriver.${method}`, body, { timeoutMs: workMs });
  const tell = async <T extends object>(method: string, body: object, timeoutMs = tellMs): Promise<T> =>
    await plugin.call<T>(`VolumeDriver.${method}`, body, { timeoutMs, isPatient: timeoutMs >= tellMs });

  const find = async (name: string, { timeoutMs }: { readonly timeoutMs: number }): Promise<VolumeState | undefined> => {
    const { Volume } = await tell<{ readonly Volume?: PluginVolume | null }>('Get', { Name: name }, timeoutMs).catch((err: unknown) => {
      // A refusal here means that it has no such volume, in whatever words.
      if (isRefusal(err)) return { Volume: null };
      throw err;
    });
    return Volume === undefined || Volume === null ? undefined : toState(Volume);
  };
  return {
    name: driverName,
    scope,
    check: () => undefined,
    async describe({ name }) {
      const found = await find(name, { timeoutMs: tellMs });
      if (found === undefined) throw notFound(`get ${name}: no such volume: the volume driver ${driverName} does not have it any more`);
      return found;
    },
    async create({ name, options }: VolumeSpec) {
      await work('Create', { Name: name, Opts: options });
    },
    async mount({ name }, user) {
      const { Mountpoint } = await work<{ readonly Mountpoint?: string }>('Mount', { Name: name, ID: user });
      if (Mountpoint !== undefined && Mountpoint !== '') return Mountpoint;
      const told = await tell<{ readonly Mountpoint?: string }>('Path', { Name: name });
      return told.Mountpoint ?? '';
    },
    async unmount({ name }, user) {
      await work('Unmount', { Name: name, ID: user });
    },
    async remove({ name }) {
      await work('Remove', { Name: name });
    },
    usage: () => Promise.resolve(undefined),
    catalogue: {
      find,
      async list({ timeoutMs }) {
        const { Volumes } = await tell<{ readonly Volumes?: readonly PluginVolume[] | null }>('List', {}, timeoutMs);
        return (Volumes ?? []).flatMap(volume =>
          volume.Name === undefined || volume.Name === '' ? [] : [{ name: volume.Name, ...toState(volume) }],
        );
      },
    },
  };
}

const isRefusal = (err: unknown): boolean => kindOf(err) === 'FailedPrecondition';

const toState = ({ Mountpoint, Status, CreatedAt }: PluginVolume): VolumeState => ({
  path: Mountpoint ?? '',
  ...(Status === undefined || Status === null ? {} : { status: Status }),
  ...(CreatedAt === undefined || CreatedAt === '' ? {} : { createdAt: CreatedAt }),
});

/** Whether volumes are of this machine only; a plugin that does not know the question says so by refusing. */
export async function scopeOf(plugin: PluginClient): Promise<'local' | 'global'> {
  try {
    const { Capabilities } = await plugin.call<{ readonly Capabilities?: { readonly Scope?: string } | null }>(
      'VolumeDriver.Capabilities',
      {},
      { timeoutMs: tellMs },
    );
    return Capabilities?.Scope?.toLowerCase() === 'global' ? 'global' : 'local';
  } catch (err) {
    if (isRefusal(err)) return 'local';
    throw err;
  }
}
