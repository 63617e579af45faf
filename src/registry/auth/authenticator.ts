import type { KeyObject } from 'node:crypto';
import { type JWTHeaderParameters, jwtVerify } from 'jose';
import { Lru } from '../lru.ts';
import { refusal } from '../refusal.ts';
import { type AccessRules, type Actor, everyone, type Need } from './access.ts';
import { basicCredentials, type Htpasswd } from './htpasswd.ts';
import { type Grant, grantsInclude, scopeOf } from './scopes.ts';
import type { TrustedKeys } from './token-keys.ts';

/** Finds out who asks. */
export interface Authenticator {
  /** Refuses with UNAUTHORIZED credentials that are wrong; without credentials it is somebody who is not known. */
  identify(authorization: string | null): Actor | Promise<Actor>;
  /** The header value that tells a client what to bring. `origin` is how the client reaches us. */
  challenge(needs: readonly Need[], origin: string, hadToken: boolean): string;
  /** Whether `/v2/` answers clients without credentials. */
  readonly isOpen: boolean;
}

export const openToAll: Authenticator = { identify: () => everyone, challenge: () => '', isOpen: true };

const quoted = (text: string): string => `"${text.replaceAll(/["\\]/g, '\\$&')}"`;

/** Names and passwords with every request. */
export function basicAuthenticator(realm: string, users: Htpasswd, rules: AccessRules): Authenticator {
  const anonymous = rules.actor('');
  return {
    identify: authorization => (authorization === null ? anonymous : basicActor(authorization, users, rules)),
    challenge: () => `Basic realm=${quoted(realm)}`,
    // A client that is not asked for credentials does not send any later.
    isOpen: false,
  };
}

async function basicActor(authorization: string, users: Htpasswd, rules: AccessRules): Promise<Actor> {
  const given = basicCredentials(authorization);
  if (given !== undefined && (await users.check(given.user, given.password))) return rules.actor(given.user);
  throw refusal('UNAUTHORIZED', 'incorrect username or password');
}

export interface TokenAuthenticatorOptions {
  /** Where clients get tokens; undefined: from this registry. */
  readonly realm: string | undefined;
  readonly service: string;
  readonly issuer: string;
  readonly keys: TrustedKeys | { readonly own: KeyObject };
  /** Users who may come with name and password as well. */
  readonly users: { readonly htpasswd: Htpasswd; readonly rules: AccessRules } | undefined;
}

const algorithms = ['EdDSA', 'ES256', 'ES384', 'ES512', 'RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512'];
const maxRemembered = 10_000;

/** Tokens that say what they are good for (distribution, token authentication). */
export function tokenAuthenticator(options: TokenAuthenticatorOptions): Authenticator {
  const { realm, service, issuer, keys, users } = options;
  const remembered = new Lru<{ readonly actor: Actor; readonly expiresAt: number }>(maxRemembered);
  // Even what everybody may do needs a token: a client that is not asked for one would not bring one later.
  const stranger: Actor = { name: '', may: () => false, maySee: repository => users?.rules.actor('').maySee(repository) ?? false };

  const verify = async (token: string): Promise<Actor> => {
    const checks = { issuer, audience: service, algorithms, clockTolerance: 60 };
    const { payload } = await ('own' in keys
      ? jwtVerify(token, keys.own, checks)
      : jwtVerify(token, (header: JWTHeaderParameters) => keys.keyFor(header), checks)
    ).catch((err: unknown) => {
      throw refusal('UNAUTHORIZED', 'the token is not valid', { cause: err });
    });
    if (payload.exp === undefined) throw refusal('UNAUTHORIZED', 'the token is not valid: it does not say how long');
    const grants = Array.isArray(payload.access) ? payload.access.filter(isGrant) : [];
    const actor: Actor = {
      name: payload.sub ?? '',
      may: need => grantsInclude(grants, need),
      // Who may list everything sees everything, unless rules of our own say otherwise.
      maySee: repository => users?.rules.actor(payload.sub ?? '').maySee(repository) ?? true,
    };
    remembered.set(token, { actor, expiresAt: payload.exp * 1000 });
    return actor;
  };

  return {
    isOpen: false,
    identify(authorization) {
      if (authorization === null) return stranger;
      const token = /^bearer +(\S+)$/i.exec(authorization)?.[1];
      if (token === undefined) {
        if (users === undefined) throw refusal('UNAUTHORIZED', 'a bearer token is needed');
        return basicActor(authorization, users.htpasswd, users.rules);
      }
      const known = remembered.get(token);
      return known !== undefined && known.expiresAt > Date.now() ? known.actor : verify(token);
    },
    challenge(needs, origin, hadToken) {
      const scopes = needs.map(scopeOf).join(' ');
      return [
        `Bearer realm=${quoted(realm ?? `${origin}/token`)}`,
        `service=${quoted(service)}`,
        ...(scopes === '' ? [] : [`scope=${quoted(scopes)}`]),
        ...(hadToken ? ['error="insufficient_scope"'] : []),
      ].join(',');
    },
  };
}

const isGrant = (value: unknown): value is Grant =>
  typeof value === 'object' &&
  value !== null &&
  'type' in value &&
  typeof value.type === 'string' &&
  'name' in value &&
  typeof value.name === 'string' &&
  'actions' in value &&
  Array.isArray(value.actions);
