import { invalidArgument } from '#base/errors.ts';
import { isInsecure, type LookUp, lookUpAddresses } from './addresses.ts';
import type { TlsOptions } from './certificates.ts';
import { type Capability, type ConfiguredHost, readHostsFile } from './hosts-file.ts';
import { withoutPassword } from './proxies.ts';

/** Where requests for a registry go. */
export interface Endpoint {
  /** `https://registry-1.docker.io/v2`: what comes before the repository's name. */
  readonly root: string;
  /** Certificates are not checked, and plain HTTP may be used. */
  readonly insecure: boolean;
  /** A mirror is asked first and may fail. */
  readonly isMirror: boolean;
  /** What it may be asked for. */
  readonly capabilities: readonly Capability[];
  /** The registry that it stands in for, told to it as `ns`: one mirror may serve several. */
  readonly namespace?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** How to speak TLS to its own host, besides what is in certs.d. */
  readonly tls?: TlsOptions;
}

export interface EndpointRules {
  /** `https://mirror` stands in for Docker Hub, `quay.io=https://mirror` for another registry, `*=https://mirror` for every one; in the order to try. */
  readonly mirrors: readonly string[];
  /** Hosts, `host:port`s and address blocks that need no valid certificate. Loopback addresses never need one. */
  readonly insecureRegistries: readonly string[];
  /** Folders with `<host:port>/hosts.toml` and certificates, best first. */
  readonly hostDirs: readonly string[];
  readonly lookUp?: LookUp;
}

export const hubDomain = 'docker.io';
const hubHost = 'registry-1.docker.io';
const everything: readonly Capability[] = ['pull', 'resolve', 'push'];

/**
 * The endpoints of a domain as image names have it, best first. What `hosts.toml` says of it comes before the daemon's mirrors. Rejects with
 * FailedPrecondition for a file that cannot be understood.
 */
export async function endpointsOf(domain: string, rules: EndpointRules): Promise<Endpoint[]> {
  const file = await readHostsFile(rules.hostDirs, domain);
  const own = domain === hubDomain ? hubHost : domain;
  const insecure = async (host: string): Promise<boolean> =>
    await isInsecure(host, rules.insecureRegistries, rules.lookUp ?? lookUpAddresses);
  const configured = async (host: ConfiguredHost, isMirror: boolean): Promise<Endpoint> => ({
    root: host.root,
    insecure: host.skipVerify || (await insecure(new URL(host.root).host)),
    isMirror,
    capabilities: host.capabilities,
    headers: host.headers,
    tls: host.skipVerify ? { ...host.tls, rejectUnauthorized: false } : host.tls,
    ...(isMirror && { namespace: domain }),
  });
  const fromFile = await Promise.all((file?.hosts ?? []).map(host => configured(host, new URL(host.root).host !== own)));
  const mirrors = rules.mirrors.map(parseMirror).filter(mirror => mirror.domain === domain || mirror.domain === '*');
  const fromDaemon = await Promise.all(
    mirrors.map(async ({ url, domain: given }): Promise<Endpoint> => {
      const root = `${url.protocol}//${url.host}${url.pathname.replace(/\/+$/, '')}/v2`;
      const isHubs = given === hubDomain;
      // One that was named for Docker Hub alone is told nothing that Docker does not tell it.
      const capabilities: readonly Capability[] = ['pull', 'resolve'];
      return { root, insecure: await insecure(url.host), isMirror: true, capabilities, ...(!isHubs && { namespace: domain }) };
    }),
  );
  if (file?.server !== undefined) return [...fromFile, ...fromDaemon, await configured(file.server, false)];
  return [...fromFile, ...fromDaemon, ...withScheme(own, await insecure(own))];
}

function withScheme(host: string, insecure: boolean): Endpoint[] {
  const https = { root: `https://${host}/v2`, insecure, isMirror: false, capabilities: everything };
  return insecure ? [https, { ...https, root: `http://${host}/v2` }] : [https];
}

/** Rejects with InvalidArgument, saying what is wrong with the operator's `--registry-mirror`. */
export function parseMirror(mirror: string): { readonly domain: string; readonly url: URL } {
  const [, domain = hubDomain, address = ''] = /^(?:([^=/]+)=)?(.*)$/.exec(mirror) ?? [];
  const url = URL.canParse(address) ? new URL(address) : undefined;
  if (url === undefined || (url.protocol !== 'http:' && url.protocol !== 'https:')) {
    throw invalidArgument(
      `invalid mirror "${mirror.slice(0, mirror.length - address.length)}${withoutPassword(address)}": expected an address such as https://mirror.example.com, for another registry than Docker Hub after its name: quay.io=https://mirror.example.com`,
    );
  }
  if (url.username !== '' || url.password !== '')
    throw invalidArgument(`invalid mirror: ${url.host} must not carry a user name or password`);
  if (url.search !== '' || url.hash !== '')
    throw invalidArgument(`invalid mirror: a query or fragment is not allowed in the address of ${url.host}`);
  return { domain: domain === 'index.docker.io' || domain === hubHost ? hubDomain : domain, url };
}
