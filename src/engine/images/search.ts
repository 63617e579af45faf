import { invalidArgument } from '#base/errors.ts';
import type { FoundRepository, RegistryAuth, RegistryClient } from '#core/registry.ts';
import { checkFilters, type Filters, parseTruth } from './filters.ts';

export interface SearchOptions {
  /** `busybox`, or with a registry before it `registry.example.com:5000/tools`. */
  readonly term: string;
  /** How many the registry is asked for, 1 to 100; undefined: 25. */
  readonly limit: number | undefined;
  readonly filters: Filters;
  readonly auth: RegistryAuth | undefined;
  readonly headers: Readonly<Record<string, string>>;
}

const defaultLimit = 25;
const maxLimit = 100;

/** Searches a registry by name. Rejects with InvalidArgument for a term, limit or filter that cannot be. */
export async function searchRegistry(registry: RegistryClient, options: SearchOptions, signal: AbortSignal): Promise<FoundRepository[]> {
  const { filters, auth, headers } = options;
  checkFilters(filters, ['is-automated', 'is-official', 'stars']);
  const automated = truthOf(filters, 'is-automated');
  const official = truthOf(filters, 'is-official');
  const stars = leastStars(filters);
  const limit = options.limit ?? defaultLimit;
  if (limit < 1 || limit > maxLimit) throw invalidArgument(`limit ${String(limit)} is outside the range of [1, ${String(maxLimit)}]`);
  const { domain, term } = splitTerm(options.term);
  const found = await registry.search({ domain, term, limit, auth, headers }, signal);
  return found.filter(
    one =>
      (automated === undefined || one.isAutomated === automated) &&
      (official === undefined || one.isOfficial === official) &&
      one.stars >= stars,
  );
}

/** A registry is told from a name as in image names. Official images are searched without `library/`. */
function splitTerm(text: string): { readonly domain: string; readonly term: string } {
  if (text === '') throw invalidArgument('invalid search term: it is empty');
  if (text.includes('://')) throw invalidArgument(`invalid repository name: repository name (${text}) should not have a scheme`);
  const slash = text.indexOf('/');
  const first = slash < 0 ? '' : text.slice(0, slash);
  const isHost = first.includes('.') || first.includes(':') || first === 'localhost';
  const domain = isHost && first !== 'index.docker.io' ? first : 'docker.io';
  const term = isHost ? text.slice(slash + 1) : text;
  if (term === '') throw invalidArgument(`invalid search term "${text}": there is nothing after the registry`);
  return { domain, term: domain === 'docker.io' ? term.replace(/^library\//, '') : term };
}

function truthOf(filters: Filters, name: string): boolean | undefined {
  const [value, ...more] = filters[name] ?? [];
  if (more.length > 0) throw invalidArgument(`invalid filter '${name}': it takes one value, not ${String(more.length + 1)}`);
  return value === undefined ? undefined : parseTruth(name, value);
}

/** Of several, the greatest counts. */
function leastStars(filters: Filters): number {
  const values = (filters.stars ?? []).map(value => {
    if (!/^\d{1,9}$/.test(value)) throw invalidArgument(`invalid filter 'stars=[${value}]'`);
    return Number(value);
  });
  return Math.max(0, ...values);
}
