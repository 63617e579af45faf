import { dataLoss } from '#base/errors.ts';
import type { FoundRepository, RegistryAuth } from '#core/registry.ts';
import type { AuthorizedRequests } from './authorized-requests.ts';
import { type Endpoint, hubDomain } from './endpoints.ts';
import { readLimited } from './read-answer.ts';
import { ConnectionError, errorOf } from './registry-errors.ts';

const hubIndex = 'https://index.docker.io';
const maxAnswerBytes = 4 * 1024 * 1024;

/**
 * Where a registry is searched: what Docker's first registries answered to, `/v1/search`. Docker Hub has a host of its own for it.
 */
export const searchRoots = (domain: string, endpoints: readonly Endpoint[]): readonly Pick<Endpoint, 'root' | 'tls' | 'headers'>[] =>
  domain === hubDomain
    ? [{ root: hubIndex }]
    : endpoints.filter(endpoint => !endpoint.isMirror).map(one => ({ ...one, root: new URL(one.root).origin }));

export async function search(
  requests: AuthorizedRequests,
  roots: ReturnType<typeof searchRoots>,
  query: {
    readonly term: string;
    readonly limit: number;
    readonly auth: RegistryAuth | undefined;
    readonly headers: Readonly<Record<string, string>>;
  },
  signal: AbortSignal,
): Promise<FoundRepository[]> {
  let last: unknown;
  for (const { root, tls, headers } of roots) {
    const url = `${root}/v1/search?q=${encodeURIComponent(query.term)}&n=${String(query.limit)}`;
    try {
      const request = { method: 'GET', url, headers: { ...headers, ...query.headers, Accept: 'application/json' }, signal, tls } as const;
      const response = await requests.send(request, { auth: query.auth, scopes: [] });
      if (!response.ok) throw await errorOf('GET', url, response);
      return parseFound(await readLimited(response, maxAnswerBytes, url), root);
    } catch (err) {
      signal.throwIfAborted();
      last = err;
      // Plain HTTP comes last, and only where it may be spoken.
      if (!(err instanceof ConnectionError)) throw err;
    }
  }
  throw last;
}

function parseFound(bytes: Uint8Array, root: string): FoundRepository[] {
  const wrong = (cause?: unknown): Error => dataLoss(`the answer of ${root} to a search is not a list of repositories`, { cause });
  let answer: unknown;
  try {
    answer = JSON.parse(new TextDecoder().decode(bytes));
  } catch (err) {
    throw wrong(err);
  }
  const { results } = (answer ?? {}) as { readonly results?: unknown };
  if (!Array.isArray(results)) throw wrong();
  return results.map((one: unknown) => {
    const {
      name,
      description,
      star_count: stars,
      is_official: isOfficial,
      is_automated: isAutomated,
    } = (one ?? {}) as Record<string, unknown>;
    if (typeof name !== 'string') throw wrong();
    return {
      name,
      description: typeof description === 'string' ? description : '',
      stars: typeof stars === 'number' ? stars : 0,
      isOfficial: isOfficial === true,
      isAutomated: isAutomated === true,
    };
  });
}
