import { pageOf } from '../catalog.ts';
import { basicCredentials } from '../auth/htpasswd.ts';
import { refusal } from '../refusal.ts';
import { readLimited } from './body.ts';
import type { Exchange } from './exchange.ts';
import { countParameter, jsonResponse, nextLink } from './paging.ts';

/** Says that this is a registry, and how it wants to be asked. */
export function getBase(exchange: Exchange): Response {
  const { authenticator } = exchange.services;
  if (!authenticator.isOpen && exchange.request.headers.get('authorization') === null) throw exchange.unauthorized([], false);
  return jsonResponse({});
}

export async function listCatalog(exchange: Exchange): Promise<Response> {
  exchange.requireCatalog();
  const { limits, catalog } = exchange.services;
  const count = countParameter(exchange.query);
  const visible = (await catalog.names()).filter(name => exchange.actor.maySee(name));
  if (count === 0) return jsonResponse({ repositories: [] });
  const page = pageOf<string>(
    visible,
    Math.min(count ?? limits.maxCatalogEntries, limits.maxCatalogEntries),
    exchange.query.get('last') ?? undefined,
  );
  return jsonResponse({ repositories: page.items }, nextLink('/v2/_catalog', page, count));
}

/** Before they search, Docker's clients ask whether anybody is there. */
export const getPing = (): Response => jsonResponse(true, { 'X-Docker-Registry-Version': '0.6.0', 'X-Docker-Registry-Standalone': 'true' });

export async function search(exchange: Exchange): Promise<Response> {
  const { query, services, actor } = exchange;
  const limit = Math.min(countParameter(query) ?? 25, 100);
  const term = query.get('q') ?? '';
  const results = await services.search.find(term, limit, name => actor.maySee(name));
  return jsonResponse({ num_pages: 1, num_results: results.length, page: 1, page_size: limit, query: term, results });
}

const maxFormBytes = 64 * 1024;

/** Gives out tokens, for GET as the distribution specification has it and for POST as OAuth2 does. */
export async function issueToken(exchange: Exchange): Promise<Response> {
  const { tokens } = exchange.services;
  if (tokens === undefined) throw refusal('UNSUPPORTED', 'this registry gives out no tokens', { status: 404 });
  const { request, query } = exchange;
  if (request.method === 'POST') {
    const body = await readLimited(request, maxFormBytes);
    if (body === undefined) throw refusal('UNSUPPORTED', 'the request is too long', { status: 413 });
    const form = new URLSearchParams(new TextDecoder().decode(body));
    const credentials =
      form.get('grant_type') === 'refresh_token'
        ? { refreshToken: form.get('refresh_token') ?? '' }
        : { user: form.get('username') ?? '', password: form.get('password') ?? '' };
    const issued = await tokens.issue({ scopes: form.getAll('scope'), credentials, offline: form.get('access_type') === 'offline' });
    return tokenResponse(issued.body);
  }
  const header = request.headers.get('authorization');
  const credentials = basicCredentials(header);
  if (header !== null && credentials === undefined) throw refusal('UNAUTHORIZED', 'name and password are needed as Basic authorization');
  const issued = await tokens.issue({ scopes: query.getAll('scope'), credentials, offline: query.get('offline_token') === 'true' });
  return tokenResponse(issued.body);
}

const tokenResponse = (body: unknown): Response => jsonResponse(body, { 'Cache-Control': 'no-store' });

/** 200 while all is well, 503 and what is wrong otherwise. */
export function getHealth(exchange: Exchange): Response {
  const problems = exchange.services.problems();
  return new Response(JSON.stringify(problems), {
    status: Object.keys(problems).length === 0 ? 200 : 503,
    headers: { 'Content-Type': 'application/json', 'Cache-Control': 'no-store' },
  });
}
