import { invalidArgument, kindOf } from '#base/errors.ts';
import type { Logger } from '#base/log.ts';
import type { RegistryClient } from '#core/registry.ts';
import { AuthorizedRequests } from './authorized-requests.ts';
import { parseChallenge } from './challenge.ts';
import { lookUpAddresses } from './addresses.ts';
import { type Endpoint, type EndpointRules, endpointsOf, parseMirror } from './endpoints.ts';
import { noProxies, type ProxySettings } from './proxies.ts';
import { defaultRanges, type RangePolicy } from './read-blob.ts';
import { errorOf } from './registry-errors.ts';
import { HttpRepository } from './repository.ts';
import { defaultRetry, type RetryPolicy } from './retry.ts';
import { search, searchRoots } from './search.ts';
import { basicHeader, TokenSource } from './tokens.ts';
import { Transport } from './transport.ts';

export interface RegistryClientOptions extends Omit<EndpointRules, 'hostDirs'> {
  readonly userAgent: string;
  readonly log: Logger;
  /** Folders with `<host:port>/hosts.toml`, `*.crt`, `*.cert`, `*.key`, best first. Default: /etc/berth/certs.d, /etc/docker/certs.d. */
  readonly hostDirs?: readonly string[];
  readonly proxies?: ProxySettings;
  readonly retry?: RetryPolicy;
  readonly ranges?: RangePolicy;
  /** How long a registry may take to begin an answer, and to send nothing in the middle of one. */
  readonly answerTimeoutMs?: number;
  readonly stallTimeoutMs?: number;
}

/** Throws InvalidArgument for a mirror that is no URL. Mirrors and insecure registries are read anew for each operation. */
export function createRegistryClient(options: RegistryClientOptions): RegistryClient {
  for (const mirror of options.mirrors) parseMirror(mirror);
  const hostDirs = options.hostDirs ?? ['/etc/berth/certs.d', '/etc/docker/certs.d'];
  const lookUp = options.lookUp ?? lookUpAddresses;
  const endpoints = (domain: string): Promise<Endpoint[]> =>
    endpointsOf(domain, { mirrors: options.mirrors, insecureRegistries: options.insecureRegistries, hostDirs, lookUp });
  const transport = new Transport({
    userAgent: options.userAgent,
    certificateDirs: hostDirs,
    insecureRegistries: () => options.insecureRegistries,
    lookUp,
    proxies: options.proxies ?? noProxies,
    answerTimeoutMs: options.answerTimeoutMs ?? 60_000,
  });
  const tokens = new TokenSource(transport);
  const requests = new AuthorizedRequests(transport, tokens);
  return {
    repository: (name, access) =>
      new HttpRepository({
        path: name.path,
        endpoints: () => endpoints(name.domain),
        access,
        requests,
        retry: options.retry ?? defaultRetry,
        stallTimeoutMs: options.stallTimeoutMs ?? 60_000,
        ranges: options.ranges ?? defaultRanges,
        log: options.log,
      }),
    async search({ domain, term, limit, auth, headers }, signal) {
      const roots = searchRoots(domain, await endpoints(domain));
      return await search(requests, roots, { term, limit, auth, headers }, signal);
    },
    async login(auth, signal) {
      let last: unknown;
      const all = await endpoints(domainOf(auth.serverAddress ?? ''));
      for (const { root, tls, headers = {} } of all.filter(endpoint => !endpoint.isMirror)) {
        const url = `${root}/`;
        try {
          const ping = await transport.send({ method: 'GET', url, headers, signal, tls });
          await ping.body?.cancel();
          const challenge = ping.status === 401 ? parseChallenge(ping.headers.get('www-authenticate')) : undefined;
          if (ping.status === 401 && challenge?.scheme === 'bearer') {
            return { identityToken: await tokens.refreshToken(challenge, auth, { origin: new URL(url).origin, signal, tls }) };
          }
          const basic = basicHeader(auth);
          const asked = basic === undefined ? headers : { ...headers, Authorization: basic };
          const answer = await transport.send({ method: 'GET', url, headers: asked, signal, tls });
          if (!answer.ok) throw await errorOf('GET', url, answer);
          await answer.body?.cancel();
          return { identityToken: '' };
        } catch (err) {
          signal.throwIfAborted();
          last = err;
          if (kindOf(err) !== 'Unavailable') throw err;
        }
      }
      throw last;
    },
  };
}

/** The domain that a login names: a host, or an old address of Docker Hub. */
function domainOf(serverAddress: string): string {
  const host = serverAddress.replace(/^https?:\/\//, '').replace(/\/.*$/, '');
  if (host === '' || host === 'index.docker.io' || host === 'docker.io' || host === 'registry-1.docker.io') return 'docker.io';
  if (!/^[A-Za-z0-9.[\]:-]+$/.test(host)) throw invalidArgument(`invalid registry address "${serverAddress}"`);
  return host;
}
