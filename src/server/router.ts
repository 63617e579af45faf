import { invalidArgument, notFound } from '#base/errors.ts';
import { isBefore, maxApiVersion, requireServed } from '#api/versions.ts';
import type { ApiVersion } from '#api/versions.ts';
import type { ApiRequest } from './api-request.ts';
import type { Reply } from './reply.ts';

export type Handler = (request: ApiRequest) => Reply | Promise<Reply>;

/** `GET /images/{name:.*}/json`: a part in braces takes anything but a slash, one with `:.*` slashes too. */
export interface Route {
  readonly method: string;
  readonly pattern: string;
  /** The API version that brought it. */
  readonly since?: ApiVersion;
  readonly handler: Handler;
}

export const route = (methodAndPattern: string, handler: Handler, options: { readonly since?: ApiVersion } = {}): Route => {
  const [method = '', pattern = ''] = methodAndPattern.split(' ');
  return { method, pattern, handler, ...options };
};

/** Where a request goes: its path without version and query, and the version it speaks. */
export interface Target {
  readonly path: string;
  readonly version: ApiVersion;
  readonly query: string;
}

/** Rejects with InvalidArgument for a version outside the range. A path without one speaks the newest. */
export function parseTarget(url: string): Target {
  const mark = url.indexOf('?');
  const path = mark === -1 ? url : url.slice(0, mark);
  const query = mark === -1 ? '' : url.slice(mark + 1);
  const versioned = /^\/v([0-9.]+)(\/.*)$/.exec(path);
  if (versioned?.[1] === undefined || versioned[2] === undefined) return { path, version: maxApiVersion, query };
  return { path: versioned[2], version: requireServed(versioned[1]), query };
}

interface Compiled {
  readonly route: Route;
  readonly regex: RegExp;
  readonly names: readonly string[];
}

export class Router {
  readonly #exact = new Map<string, Route>();
  /** By method and first part of the path. */
  readonly #patterns = new Map<string, Compiled[]>();

  /** Where two patterns match, the first one wins. */
  constructor(routes: readonly Route[]) {
    for (const each of routes) {
      if (!each.pattern.includes('{')) {
        this.#exact.set(`${each.method} ${each.pattern}`, each);
        continue;
      }
      const key = bucket(each.method, each.pattern);
      const compiled = this.#patterns.get(key) ?? [];
      compiled.push(compile(each));
      this.#patterns.set(key, compiled);
    }
  }

  /** Rejects with NotFound `page not found` for an unknown path and for a known one with another method alike. */
  find(method: string, target: Target): { readonly route: Route; readonly params: Readonly<Record<string, string>> } {
    const exact = this.#exact.get(`${method} ${target.path}`);
    if (exact !== undefined) return { route: requireVersion(exact, target), params: {} };
    for (const { route: candidate, regex, names } of this.#patterns.get(bucket(method, target.path)) ?? []) {
      const match = regex.exec(target.path);
      if (match === null) continue;
      const params = Object.fromEntries(names.map((name, i) => [name, decodePart(match[i + 1] ?? '')]));
      return { route: requireVersion(candidate, target), params };
    }
    throw notFound('page not found');
  }
}

const bucket = (method: string, path: string): string => `${method} ${path.split('/', 2)[1] ?? ''}`;

function compile(each: Route): Compiled {
  const names: string[] = [];
  const source = each.pattern.replaceAll(/\{(\w+)(:\.\*)?\}/g, (_all, name: string, slashes: string | undefined) => {
    names.push(name);
    return slashes === undefined ? '([^/]+)' : '(.+)';
  });
  return { route: each, regex: new RegExp(`^${source}$`), names };
}

function decodePart(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    throw invalidArgument(`invalid URL escape in ${JSON.stringify(part)}`);
  }
}

function requireVersion(found: Route, target: Target): Route {
  if (found.since !== undefined && isBefore(target.version, found.since)) {
    throw invalidArgument(`${found.method} ${target.path} requires minimum API version ${found.since}`);
  }
  return found;
}
