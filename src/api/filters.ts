import { invalidArgument } from '#base/errors.ts';

/** Key → accepted values. */
export type Filters = ReadonlyMap<string, readonly string[]>;

/**
 * Parses the `filters` parameter: `{"key":{"value":true}}` or, as older clients write it, `{"key":["value"]}`. Rejects with InvalidArgument when it
 * is neither, or when a key is not among `accepted`.
 */
export function parseFilters(text: string, accepted: readonly string[]): Filters {
  const filters = new Map<string, readonly string[]>();
  if (text === '') return filters;
  for (const [key, values] of Object.entries(parseObject(text))) {
    if (!accepted.includes(key)) throw invalidArgument(`invalid filter '${key}'`);
    filters.set(key, valuesOf(key, values, text));
  }
  return filters;
}

function parseObject(text: string): Readonly<Record<string, unknown>> {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (err) {
    throw invalidArgument(`invalid filter: ${quote(text)} is not JSON`, { cause: err });
  }
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) {
    throw invalidArgument(`invalid filter: ${quote(text)} is not a JSON object such as {"label":{"a=b":true}}`);
  }
  return parsed as Record<string, unknown>;
}

function valuesOf(key: string, values: unknown, text: string): readonly string[] {
  if (Array.isArray(values) && values.every(value => typeof value === 'string')) return values;
  if (typeof values === 'object' && values !== null && !Array.isArray(values)) {
    // A value set to false is as good as left out: the engines that clients know read only the keys.
    if (Object.values(values).every(flag => typeof flag === 'boolean')) return Object.keys(values);
  }
  throw invalidArgument(`invalid filter: the values of "${key}" in ${quote(text)} are neither {"value":true} nor ["value"]`);
}

const quote = (text: string): string => JSON.stringify(text.length > 200 ? `${text.slice(0, 200)}…` : text);

/** The map form, which every API version reads. */
export function formatFilters(filters: Filters): string {
  const wire: Record<string, Record<string, true>> = {};
  for (const [key, values] of filters) wire[key] = Object.fromEntries(values.map(value => [value, true]));
  return JSON.stringify(wire);
}

/** Filter keys by what is being listed. */
export const filterKeys = {
  containers: [
    'ancestor',
    'before',
    'exited',
    'expose',
    'health',
    'id',
    'is-task',
    'isolation',
    'label',
    'name',
    'network',
    'publish',
    'since',
    'status',
    'volume',
  ],
  buildPrune: ['description', 'id', 'inuse', 'label', 'label!', 'parent', 'private', 'shared', 'type', 'unused-for', 'until'],
  containersPrune: ['label', 'label!', 'until'],
  images: ['before', 'dangling', 'label', 'label!', 'reference', 'since', 'until'],
  imagesPrune: ['dangling', 'label', 'label!', 'until'],
  search: ['is-automated', 'is-official', 'stars'],
  networks: ['dangling', 'driver', 'id', 'label', 'name', 'scope', 'type'],
  networksPrune: ['label', 'label!', 'until'],
  volumes: ['dangling', 'driver', 'label', 'name'],
  volumesPrune: ['all', 'label', 'label!'],
  events: [
    'config',
    'container',
    'daemon',
    'event',
    'image',
    'label',
    'network',
    'node',
    'plugin',
    'scope',
    'secret',
    'service',
    'type',
    'volume',
  ],
} as const;
