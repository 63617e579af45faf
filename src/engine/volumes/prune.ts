import { invalidArgument } from '#base/errors.ts';
import type { Context } from './context.ts';
import { type Filters, hasLabel, parseFlag } from './filters.ts';
import type { Volume } from './model.ts';
import { removeLocked } from './remove.ts';

export interface PruneResult {
  readonly names: readonly string[];
  readonly reclaimedBytes: number;
}

export async function pruneVolumes(ctx: Context, filters: Filters): Promise<PruneResult> {
  const matches = pruneFilter(filters);
  const names: string[] = [];
  let reclaimedBytes = 0;
  for (const { name } of ctx.table.all()) {
    await ctx.locks.run(name, async () => {
      const volume = ctx.table.get(name);
      if (volume === undefined || volume.users.length > 0 || !matches(volume)) return;
      try {
        const bytes = (await (await ctx.drivers.find(volume.driver)).usage(volume)) ?? 0;
        await removeLocked(ctx, volume);
        names.push(name);
        reclaimedBytes += bytes;
      } catch (err) {
        ctx.log.warn('a volume could not be pruned', { volume: name, error: err });
      }
    });
  }
  ctx.events.publish({ type: 'volume', action: 'prune', actorId: '', attributes: { reclaimed: String(reclaimedBytes) } });
  return { names, reclaimedBytes };
}

function pruneFilter(filters: Filters): (volume: Volume) => boolean {
  for (const key of filters.keys()) if (!['all', 'label', 'label!'].includes(key)) throw invalidArgument(`invalid filter '${key}'`);
  const all = (filters.get('all') ?? []).some(value => parseFlag('all', value));
  const labels = filters.get('label') ?? [];
  const notLabels = filters.get('label!') ?? [];
  return volume =>
    (all || volume.anonymous) && labels.every(label => hasLabel(volume, label)) && !notLabels.some(label => hasLabel(volume, label));
}
