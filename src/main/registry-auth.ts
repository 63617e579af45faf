import { hostname } from 'node:os';
import { join } from 'node:path';
import type { Logger } from '#base/log.ts';
import { AccessRules } from '#registry/auth/access.ts';
import { type Authenticator, basicAuthenticator, openToAll, tokenAuthenticator } from '#registry/auth/authenticator.ts';
import { Htpasswd } from '#registry/auth/htpasswd.ts';
import { readTrustedKeys } from '#registry/auth/token-keys.ts';
import { TokenService } from '#registry/auth/token-service.ts';
import type { AuthOptions } from './registry-options.ts';

export interface Auth {
  readonly authenticator: Authenticator;
  readonly tokens: TokenService | undefined;
  /** Reads files of users again. Rejects, and nothing has changed, when they cannot be read. */
  reload(): Promise<void>;
}

/** How clients show who they are. */
export async function openAuth(
  options: AuthOptions,
  instance: { readonly stateFolder: string; readonly externalUrl: string | undefined },
  log: Logger,
): Promise<Auth> {
  switch (options.kind) {
    case 'none':
      return { authenticator: openToAll, tokens: undefined, reload: () => Promise.resolve() };
    case 'token': {
      const { realm, service, issuer, rootCertBundle, jwks } = options;
      const keys = await readTrustedKeys({ ...(rootCertBundle !== undefined && { rootCertBundle }), ...(jwks !== undefined && { jwks }) });
      return {
        authenticator: tokenAuthenticator({ realm, service, issuer, keys, users: undefined }),
        tokens: undefined,
        reload: () => Promise.resolve(),
      };
    }
    case 'htpasswd': {
      const users = await Htpasswd.open(options.path, log);
      const rules = new AccessRules(options.rules);
      const reload = (): Promise<void> => users.reload();
      if (options.challenge === 'basic')
        return { authenticator: basicAuthenticator(options.realm, users, rules), tokens: undefined, reload };
      // Registries behind one address take each other's tokens, given the same key.
      const issuer = instance.externalUrl ?? `berth registry ${hostname()}`;
      const service = issuer;
      const keyFile = options.tokenKey ?? join(instance.stateFolder, 'token-key.pem');
      const tokens = new TokenService({ issuer, service, keyFile, users, rules, lifetimeSeconds: options.tokenLifetimeSeconds });
      return {
        authenticator: tokenAuthenticator({
          realm: undefined,
          service,
          issuer,
          keys: { own: tokens.publicKey },
          users: { htpasswd: users, rules },
        }),
        tokens,
        reload,
      };
    }
  }
}
