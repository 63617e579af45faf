import { conflict, invalidArgument } from '#base/errors.ts';
import { parseTimestamp } from '#base/timestamp.ts';
import { type Context, publishAs, withContainer } from './context.ts';
import type { Container } from './model.ts';
import { removeLocked } from './remove.ts';
import type { Filters, PruneResult } from './service.ts';
import { isActive } from './state.ts';

/** Removes the containers that do not run and match; their anonymous volumes stay. Rejects with Conflict while another prune runs. */
export async function pruneContainers(ctx: Context, filters: Filters, signal: AbortSignal): Promise<PruneResult> {
  const matches = pruneFilter(filters, Date.now());
  if (!ctx.pruning.isFree) throw conflict('a prune operation is already running');
  return await ctx.pruning.run(signal, () => prune(ctx, matches));
}

async function prune(ctx: Context, matches: (container: Container) => boolean): Promise<PruneResult> {
  const ids: string[] = [];
  let reclaimedBytes = 0;
  for (const { container } of ctx.containers.all()) {
    if (isActive(container.state) || !matches(container)) continue;
    const bytes = await ctx.snapshots.usage(container.id).catch(() => 0);
    const removed = await withContainer(ctx, container.id, async entry => {
      if (isActive(entry.container.state)) return false;
      await removeLocked(ctx, entry, { removeAnonymous: false });
      return true;
    }).catch((err: unknown) => {
      ctx.log.warn('a container could not be pruned', { container: container.id, error: err });
      return false;
    });
    if (!removed) continue;
    ids.push(container.id);
    reclaimedBytes += bytes;
  }
  publishAs(ctx, 'container', '', 'prune', { reclaimed: String(reclaimedBytes) });
  return { ids, reclaimedBytes };
}

function pruneFilter(filters: Filters, now: number): (container: Container) => boolean {
  const tests: ((container: Container) => boolean)[] = [];
  for (const [key, values] of filters) {
    if (key === 'label') tests.push(({ config }) => values.every(value => hasLabel(config.labels, value)));
    else if (key === 'label!') tests.push(({ config }) => !values.some(value => hasLabel(config.labels, value)));
    else if (key === 'until') {
      if (values.length > 1) throw invalidArgument('more than one until filter specified');
      const until = parseTimestamp(values[0] ?? '', now);
      tests.push(({ created }) => Date.parse(created) < until);
    } else throw invalidArgument(`invalid filter '${key}'`);
  }
  return container => tests.every(test => test(container));
}

function hasLabel(labels: Readonly<Record<string, string>>, value: string): boolean {
  const at = value.indexOf('=');
  const key = at < 0 ? value : value.slice(0, at);
  return key in labels && (at < 0 || labels[key] === value.slice(at + 1));
}
