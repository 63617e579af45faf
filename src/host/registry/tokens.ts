import { failedPrecondition, unauthenticated } from '#base/errors.ts';
import { type CredentialKeeper, RegistryError, type RegistryAuth } from '#core/registry.ts';
import type { Challenge } from './challenge.ts';
import type { TlsOptions } from './certificates.ts';
import { errorOf } from './registry-errors.ts';
import type { Transport } from './transport.ts';

const clientId = 'docker';
const defaultLifetimeMs = 60_000;
/** A token is not used in its last moments: it would expire on the way. */
const safetyMs = 5_000;
const maxTokens = 1_000;

interface Token {
  readonly value: string;
  readonly refreshToken: string;
  readonly expiresAt: number;
}

export interface TokenOptions {
  /** The registry that wants the token. */
  readonly origin: string;
  readonly signal: AbortSignal;
  /** How to speak TLS to that registry, should it give the tokens itself. */
  readonly tls?: TlsOptions | undefined;
}

type Bearer = Extract<Challenge, { scheme: 'bearer' }>;

/** Gets bearer tokens and keeps them while they are valid, by realm, scope and who asks. */
export class TokenSource {
  readonly #transport: Transport;
  readonly #tokens = new Map<string, Promise<Token>>();

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /** A token for these scopes. `refused` is one the registry did not take: another is fetched then. Rejects with Unauthenticated. */
  async token(
    challenge: Bearer,
    scopes: readonly string[],
    auth: RegistryAuth | undefined,
    options: TokenOptions & { readonly refused?: string | undefined },
  ): Promise<string> {
    const key = keyOf(challenge, scopes, auth);
    const known = await this.#tokens.get(key)?.catch(() => undefined);
    if (known !== undefined && known.expiresAt > Date.now() && known.value !== options.refused) return known.value;
    const fetching = this.#fetch(challenge, scopes, auth, { ...options, offline: false });
    if (this.#tokens.size >= maxTokens) this.#tokens.clear();
    this.#tokens.set(key, fetching);
    try {
      return (await fetching).value;
    } catch (err) {
      if (this.#tokens.get(key) === fetching) this.#tokens.delete(key);
      throw err;
    }
  }

  /** Asks for a refresh token as well, for a login. Empty when there is none. */
  async refreshToken(challenge: Bearer, auth: RegistryAuth, options: TokenOptions): Promise<string> {
    return (await this.#fetch(challenge, [], auth, { ...options, offline: true })).refreshToken;
  }

  async #fetch(
    challenge: Bearer,
    scopes: readonly string[],
    auth: RegistryAuth | undefined,
    options: TokenOptions & { readonly offline: boolean },
  ): Promise<Token> {
    if (auth?.keeper !== undefined) return await this.#fetchThrough(auth.keeper, challenge, scopes, options);
    const { origin, signal, offline } = options;
    const realm = realmOf(challenge, origin, auth !== undefined);
    const tls = realm.origin === origin ? options.tls : undefined;
    const response =
      auth?.identityToken !== undefined && auth.identityToken !== ''
        ? await this.#post(realm, challenge, scopes, auth.identityToken, { signal, tls })
        : await this.#get(realm, challenge, scopes, auth, offline, { signal, tls });
    if (!response.ok) {
      const err = await errorOf('GET', realm.href, response);
      const words = auth === undefined ? err.message : `unauthorized: incorrect username or password (${err.message})`;
      throw response.status === 401 || response.status === 403
        ? new RegistryError('Unauthenticated', 'UNAUTHORIZED', err.code === 'DENIED' ? err.message : words)
        : err;
    }
    return parseToken(await response.text(), realm.host);
  }

  async #fetchThrough(
    keeper: CredentialKeeper,
    challenge: Bearer,
    scopes: readonly string[],
    options: TokenOptions & { readonly offline: boolean },
  ): Promise<Token> {
    const { href } = realmOf(challenge, options.origin, true);
    const given = await keeper.token({ realm: href, service: challenge.service ?? '', scopes }, options.signal);
    if (given === undefined) return await this.#fetch(challenge, scopes, await keeper.credentials(options.signal), options);
    return { value: given.token, refreshToken: '', expiresAt: Date.now() + Math.max(given.lifetimeMs, defaultLifetimeMs) - safetyMs };
  }

  async #get(
    realm: URL,
    challenge: Bearer,
    scopes: readonly string[],
    auth: RegistryAuth | undefined,
    offline: boolean,
    how: Pick<TokenOptions, 'signal' | 'tls'>,
  ) {
    const url = new URL(realm);
    if (challenge.service !== undefined) url.searchParams.set('service', challenge.service);
    for (const scope of scopes) url.searchParams.append('scope', scope);
    const basic = basicHeader(auth);
    if (auth?.username !== undefined && basic !== undefined) url.searchParams.set('account', auth.username);
    url.searchParams.set('client_id', clientId);
    if (offline) url.searchParams.set('offline_token', 'true');
    return await this.#transport.send({
      method: 'GET',
      url: url.href,
      headers: basic === undefined ? {} : { Authorization: basic },
      ...how,
    });
  }

  async #post(realm: URL, challenge: Bearer, scopes: readonly string[], refreshToken: string, how: Pick<TokenOptions, 'signal' | 'tls'>) {
    const form = new URLSearchParams({ grant_type: 'refresh_token', refresh_token: refreshToken, client_id: clientId });
    if (challenge.service !== undefined) form.set('service', challenge.service);
    if (scopes.length > 0) form.set('scope', scopes.join(' '));
    const headers = { 'Content-Type': 'application/x-www-form-urlencoded' };
    return await this.#transport.send({ method: 'POST', url: realm.href, headers, body: form.toString(), ...how });
  }
}

export function basicHeader(auth: RegistryAuth | undefined): string | undefined {
  if (auth?.username === undefined || auth.username === '') return undefined;
  return `Basic ${Buffer.from(`${auth.username}:${auth.password ?? ''}`).toString('base64')}`;
}

/** Who asks goes in as a hash: keys may turn up in a heap dump or a debugger. */
const keyOf = (challenge: Bearer, scopes: readonly string[], auth: RegistryAuth | undefined): string =>
  JSON.stringify([
    challenge.realm,
    challenge.service,
    scopes,
    auth &&
      new Bun.CryptoHasher('sha256')
        .update(JSON.stringify([auth.username, auth.password, auth.identityToken, auth.keeper?.id]))
        .digest('hex'),
  ]);

function realmOf(challenge: Bearer, origin: string, hasCredentials: boolean): URL {
  const url = URL.canParse(challenge.realm, origin) ? new URL(challenge.realm, origin) : undefined;
  if (url === undefined || (url.protocol !== 'https:' && url.protocol !== 'http:')) {
    throw unauthenticated(`the registry ${origin} names no usable address to get a token from`);
  }
  if (hasCredentials && url.protocol === 'http:' && origin.startsWith('https:')) {
    throw failedPrecondition(`the registry ${origin} wants the credentials sent in the clear to http://${url.host}: refused`);
  }
  return url;
}

function parseToken(text: string, host: string): Token {
  let json: Record<string, unknown> = {};
  try {
    json = JSON.parse(text) as Record<string, unknown>;
  } catch {
    // Without a token in it, it is reported below.
  }
  const value = [json.token, json.access_token].find(token => typeof token === 'string' && token !== '');
  if (typeof value !== 'string') throw unauthenticated(`authorization server ${host} did not include a token in the response`);
  const lifetimeMs = typeof json.expires_in === 'number' ? Math.max(json.expires_in * 1000, defaultLifetimeMs) : defaultLifetimeMs;
  return {
    value,
    refreshToken: typeof json.refresh_token === 'string' ? json.refresh_token : '',
    expiresAt: Date.now() + lifetimeMs - safetyMs,
  };
}
