import { refusal } from '../refusal.ts';

/** What a path asks for; names and references are not checked yet. */
export type Route =
  | { readonly kind: 'base' }
  | { readonly kind: 'catalog' }
  | { readonly kind: 'manifest'; readonly name: string; readonly reference: string }
  | { readonly kind: 'blob'; readonly name: string; readonly digest: string }
  | { readonly kind: 'uploads'; readonly name: string }
  | { readonly kind: 'upload'; readonly name: string; readonly id: string }
  | { readonly kind: 'tags'; readonly name: string }
  | { readonly kind: 'referrers'; readonly name: string; readonly digest: string }
  | { readonly kind: 'ping' }
  | { readonly kind: 'search' }
  | { readonly kind: 'token' }
  | { readonly kind: 'health' };

export interface Target {
  /** As it came, without the query. */
  readonly path: string;
  readonly query: string;
}

/** Path and query of an absolute URL. */
export function targetOf(url: string): Target {
  const start = url.indexOf('/', url.indexOf('//') + 2);
  const question = url.indexOf('?', start);
  return question < 0 ? { path: url.slice(start), query: '' } : { path: url.slice(start, question), query: url.slice(question + 1) };
}

const fixed: Readonly<Record<string, Route>> = {
  '/v2': { kind: 'base' },
  '/v2/': { kind: 'base' },
  '/v2/_catalog': { kind: 'catalog' },
  '/v1/_ping': { kind: 'ping' },
  '/v1/search': { kind: 'search' },
  '/token': { kind: 'token' },
  '/debug/health': { kind: 'health' },
};

/** Undefined for a path that means nothing here. */
export function routeOf(rawPath: string): Route | undefined {
  const path = rawPath.includes('%') ? decoded(rawPath) : rawPath;
  const known = Object.hasOwn(fixed, path) ? fixed[path] : undefined;
  if (known !== undefined) return known;
  if (!path.startsWith('/v2/')) return undefined;
  // A name may have parts such as "blobs": what counts are the last ones.
  const slash = path.lastIndexOf('/');
  const last = path.slice(slash + 1);
  const before = path.lastIndexOf('/', slash - 1);
  const word = path.slice(before + 1, slash);
  const name = path.slice(4, before);
  switch (word) {
    case 'manifests':
      return { kind: 'manifest', name, reference: last };
    case 'blobs':
      return last === 'uploads' ? { kind: 'uploads', name } : { kind: 'blob', name, digest: last };
    case 'referrers':
      return { kind: 'referrers', name, digest: last };
    case 'tags':
      return last === 'list' ? { kind: 'tags', name } : undefined;
    case 'uploads':
      if (!name.endsWith('/blobs')) return undefined;
      return last === '' ? { kind: 'uploads', name: name.slice(0, -6) } : { kind: 'upload', name: name.slice(0, -6), id: last };
    default:
      return undefined;
  }
}

function decoded(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch (err) {
    throw refusal('NAME_INVALID', 'the path is not properly encoded', { cause: err });
  }
}
