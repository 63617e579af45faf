import { RegistryError, type RegistryAuth } from '#core/registry.ts';
import { type Challenge, parseChallenge } from './challenge.ts';
import { errorOf, withoutSecrets } from './registry-errors.ts';
import { basicHeader, type TokenSource } from './tokens.ts';
import type { HttpRequest, Transport } from './transport.ts';

/** The first without or with what is known, and more: a token may end between its being given to one request and being used by another. */
const maxAttempts = 4;

/** Who asks, and for what (`repository:library/busybox:pull`). */
export interface Identity {
  readonly auth: RegistryAuth | undefined;
  readonly scopes: readonly string[];
}

/** Sends requests with whatever authorization the registry wants, learning from its challenges. */
export class AuthorizedRequests {
  readonly #transport: Transport;
  readonly #tokens: TokenSource;
  /** By origin: how it wanted to be asked last time. */
  readonly #challenges = new Map<string, Challenge>();

  constructor(transport: Transport, tokens: TokenSource) {
    this.#transport = transport;
    this.#tokens = tokens;
  }

  /** The answer, with whatever status but 401. Rejects with Unauthenticated when the registry does not take what we have. */
  async send(request: HttpRequest, identity: Identity): Promise<Response> {
    const { origin } = new URL(request.url);
    const canRepeat = request.body === undefined || typeof request.body === 'string' || request.body instanceof Uint8Array;
    let authorization = await this.#authorization(origin, identity, undefined, request);
    for (let attempt = 1; ; attempt += 1) {
      const response = await this.#transport.send(withAuthorization(request, authorization));
      if (response.status !== 401) return response;
      const challenge = parseChallenge(response.headers.get('www-authenticate'));
      if (challenge !== undefined) this.#challenges.set(origin, challenge);
      const next = challenge === undefined ? undefined : await this.#authorization(origin, identity, authorization, request);
      if (next === undefined || next === authorization || attempt === maxAttempts) {
        const err = await errorOf(request.method, request.url, response);
        if (challenge?.scheme === 'basic' && next === undefined) {
          const method = request.method[0] + request.method.slice(1).toLowerCase();
          throw new RegistryError(
            'Unauthenticated',
            'UNAUTHORIZED',
            `${method} "${withoutSecrets(request.url)}": no basic auth credentials`,
          );
        }
        throw err;
      }
      await response.body?.cancel();
      if (!canRepeat) {
        // Whoever sends a stream begins anew, with what is known by then.
        throw new RegistryError('Unavailable', 'UNAUTHORIZED', `unauthorized: the authorization for ${origin} ended during an upload`);
      }
      authorization = next;
    }
  }

  async #authorization(
    origin: string,
    identity: Identity,
    refused: string | undefined,
    { signal, tls }: HttpRequest,
  ): Promise<string | undefined> {
    const { auth, scopes } = identity;
    if (auth?.registryToken !== undefined && auth.registryToken !== '') return `Bearer ${auth.registryToken}`;
    const challenge = this.#challenges.get(origin);
    if (challenge === undefined) return undefined;
    if (challenge.scheme === 'basic') return basicHeader(await openAuth(auth, signal));
    const token = await this.#tokens.token(challenge, scopes, auth, { refused: refused?.replace(/^Bearer /, ''), origin, signal, tls });
    return `Bearer ${token}`;
  }
}

/** The credentials themselves. */
const openAuth = async (auth: RegistryAuth | undefined, signal: AbortSignal): Promise<RegistryAuth | undefined> =>
  auth?.keeper === undefined ? auth : await auth.keeper.credentials(signal);

/** What was learnt from a challenge comes before what an operator wrote down for the host. */
function withAuthorization(request: HttpRequest, authorization: string | undefined): HttpRequest {
  if (authorization === undefined) return request;
  const others = Object.entries(request.headers ?? {}).filter(([name]) => name.toLowerCase() !== 'authorization');
  return { ...request, headers: { ...Object.fromEntries(others), Authorization: authorization } };
}
