import { invalidArgument } from '#base/errors.ts';
import type { Context } from './context.ts';
import type { Network } from './model.ts';

/** As the API gives them: every value of one key is an alternative, but for labels, which must all hold. */
export type NetworkFilters = Readonly<Record<string, readonly string[]>>;

const listKeys = ['dangling', 'driver', 'id', 'label', 'name', 'scope', 'type'];
const pruneKeys = ['label', 'label!', 'until'];

/** Rejects with InvalidArgument for an unknown key or value. */
export function listMatching(ctx: Context, filters: NetworkFilters): Network[] {
  checkKeys(filters, listKeys);
  const dangling = (filters.dangling ?? []).map(text => boolean('dangling', text));
  for (const type of filters.type ?? []) {
    if (type !== 'custom' && type !== 'builtin') throw invalidArgument(`invalid filter: 'type'='${type}'`);
  }
  const any = (key: string, matches: (wanted: string) => boolean): boolean =>
    filters[key] === undefined || filters[key].length === 0 || filters[key].some(matches);
  return ctx.networks
    .list()
    .filter(
      network =>
        any('driver', wanted => network.driver === wanted) &&
        any('id', wanted => network.id.startsWith(wanted)) &&
        any('name', wanted => network.name.includes(wanted)) &&
        any('scope', wanted => wanted === (network.plugin?.scope ?? 'local')) &&
        any('type', wanted => (wanted === 'builtin') === network.predefined) &&
        (filters.label ?? []).every(label => hasLabel(network, label)) &&
        (dangling.length === 0 || dangling.includes(!network.predefined && ctx.sandboxes.on(network.id).length === 0)),
    );
}

/** Networks that nobody uses and the filters choose. `until`: milliseconds since 1970, already resolved by the caller. */
export function prunable(ctx: Context, filters: NetworkFilters, untilMs: number | undefined): Network[] {
  checkKeys(filters, pruneKeys);
  return ctx.networks
    .list()
    .filter(
      network =>
        !network.predefined &&
        !network.configOnly &&
        ctx.sandboxes.on(network.id).length === 0 &&
        (untilMs === undefined || Date.parse(network.created) < untilMs) &&
        (filters.label ?? []).every(label => hasLabel(network, label)) &&
        !(filters['label!'] ?? []).some(label => hasLabel(network, label)),
    );
}

function hasLabel({ labels }: Network, wanted: string): boolean {
  const at = wanted.indexOf('=');
  return at === -1 ? wanted in labels : labels[wanted.slice(0, at)] === wanted.slice(at + 1);
}

function checkKeys(filters: NetworkFilters, known: readonly string[]): void {
  for (const key of Object.keys(filters)) if (!known.includes(key)) throw invalidArgument(`invalid filter '${key}'`);
}

function boolean(key: string, text: string): boolean {
  if (text === 'true' || text === '1') return true;
  if (text === 'false' || text === '0') return false;
  throw invalidArgument(`invalid value for filter '${key}': ${JSON.stringify(text)}, must be "true" (or "1"), or "false" (or "0")`);
}
