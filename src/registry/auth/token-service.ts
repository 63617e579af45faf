import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { jwtVerify, SignJWT } from 'jose';
import { failedPrecondition } from '#base/errors.ts';
import { refusal } from '../refusal.ts';
import type { AccessRules } from './access.ts';
import type { Htpasswd } from './htpasswd.ts';
import { type Grant, isAction, parseScopes } from './scopes.ts';
import { keyId } from './token-keys.ts';

export interface TokenServiceOptions {
  readonly issuer: string;
  readonly service: string;
  readonly keyFile: string;
  readonly users: Htpasswd;
  readonly rules: AccessRules;
  readonly lifetimeSeconds: number;
}

export interface TokenRequest {
  readonly scopes: readonly string[];
  readonly credentials: { readonly user: string; readonly password: string } | { readonly refreshToken: string } | undefined;
  /** Asks for a refresh token as well. */
  readonly offline: boolean;
}

export interface IssuedToken {
  readonly user: string;
  readonly grants: readonly Grant[];
  readonly body: Readonly<Record<string, unknown>>;
}

const refreshType = 'refresh+jwt';

/**
 * Gives out tokens for the users of the password file, as far as the access rules go. Clients that know only bearer challenges can then read anonymously:
 * after a Basic challenge the docker command line does not ask without credentials.
 */
export class TokenService {
  readonly #options: TokenServiceOptions;
  readonly #key: KeyObject;
  readonly publicKey: KeyObject;

  constructor(options: TokenServiceOptions) {
    this.#options = options;
    this.#key = readOrMakeKey(options.keyFile);
    this.publicKey = createPublicKey(this.#key);
  }

  /** Refuses with UNAUTHORIZED wrong credentials; without any, what everybody may do is granted. */
  async issue(request: TokenRequest): Promise<IssuedToken> {
    const { rules, lifetimeSeconds } = this.#options;
    const user = await this.#userOf(request);
    const grants = parseScopes(request.scopes).map(wanted => ({
      ...wanted,
      actions: wanted.type === 'registry' ? (wanted.name === 'catalog' && rules.mayList(user) ? ['*'] : []) : this.#allowed(user, wanted),
    }));
    const token = await this.#sign({ access: grants.filter(({ actions }) => actions.length > 0) }, user, lifetimeSeconds, 'JWT');
    return {
      user,
      grants,
      body: {
        token,
        access_token: token,
        expires_in: lifetimeSeconds,
        issued_at: new Date().toISOString(),
        ...(request.offline && user !== '' && { refresh_token: await this.#refreshToken(user) }),
      },
    };
  }

  #allowed(user: string, wanted: Grant): string[] {
    if (wanted.type !== 'repository') return [];
    const allowed = this.#options.rules.allowed(user, wanted.name);
    return wanted.actions.includes('*') ? [...allowed] : wanted.actions.filter(action => isAction(action) && allowed.has(action));
  }

  async #userOf({ credentials }: TokenRequest): Promise<string> {
    if (credentials === undefined) return '';
    if ('refreshToken' in credentials) return await this.#userOfRefreshToken(credentials.refreshToken);
    if (await this.#options.users.check(credentials.user, credentials.password)) return credentials.user;
    throw refusal('UNAUTHORIZED', 'incorrect username or password');
  }

  /** Lasts until the user's password is changed. */
  async #refreshToken(user: string): Promise<string> {
    return await this.#sign({ fingerprint: this.#options.users.fingerprint(user) }, user, undefined, refreshType);
  }

  async #userOfRefreshToken(token: string): Promise<string> {
    const { issuer, service, users } = this.#options;
    try {
      const { payload } = await jwtVerify(token, this.publicKey, { issuer, audience: service, typ: refreshType });
      const user = payload.sub ?? '';
      if (user !== '' && payload.fingerprint === users.fingerprint(user)) return user;
    } catch {
      // Whatever is wrong with it: it is not one that counts.
    }
    throw refusal('UNAUTHORIZED', 'the identity token is no longer valid: log in again');
  }

  async #sign(claims: Record<string, unknown>, user: string, lifetimeSeconds: number | undefined, typ: string): Promise<string> {
    const now = Math.floor(Date.now() / 1000);
    const jwt = new SignJWT(claims)
      .setProtectedHeader({ alg: 'ES256', typ, kid: keyId(this.publicKey) })
      .setIssuer(this.#options.issuer)
      .setAudience(this.#options.service)
      .setSubject(user)
      .setIssuedAt(now)
      .setNotBefore(now - 60)
      .setJti(crypto.randomUUID());
    if (lifetimeSeconds !== undefined) jwt.setExpirationTime(now + lifetimeSeconds);
    return await jwt.sign(this.#key);
  }
}

function readOrMakeKey(file: string): KeyObject {
  try {
    if (existsSync(file)) return createPrivateKey(readFileSync(file));
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    writeFileSync(file, privateKey.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600, flag: 'wx' });
    chmodSync(file, 0o600);
    return privateKey;
  } catch (err) {
    throw failedPrecondition(`the key for tokens ${file} cannot be used: ${err instanceof Error ? err.message : String(err)}`, {
      cause: err,
    });
  }
}
