import { isLoopback, parseIp } from '#base/ip.ts';

/** What a resolv.conf says. */
export interface ResolvConf {
  readonly nameservers: readonly string[];
  readonly search: readonly string[];
  readonly options: readonly string[];
}

export interface DnsOverrides {
  readonly dns: readonly string[];
  readonly dnsSearch: readonly string[];
  readonly dnsOptions: readonly string[];
}

/** The address at which user-defined networks resolve names. */
export const internalResolver = '127.0.0.11';

const fallbackIpv4 = ['8.8.8.8', '8.8.4.4'];
const fallbackIpv6 = ['2001:4860:4860::8888', '2001:4860:4860::8844'];

export function parseResolvConf(text: string): ResolvConf {
  const nameservers: string[] = [];
  let search: string[] = [];
  let options: string[] = [];
  for (const line of text.split('\n')) {
    const [keyword, ...words] = line
      .replace(/[#;].*$/, '')
      .trim()
      .split(/\s+/);
    if (keyword === 'nameserver' && words[0] !== undefined) nameservers.push(words[0]);
    else if (keyword === 'search' || keyword === 'domain') search = words;
    else if (keyword === 'options') options = [...options, ...words];
  }
  return { nameservers, search, options };
}

/** For the default bridge: the host's file without servers that only the host itself can reach, or public ones when none is left. */
export function directResolvConf(host: ResolvConf, overrides: DnsOverrides, ipv6: boolean): string {
  const reachable = host.nameservers.filter(server => canBeReached(server, ipv6));
  const fallback = ipv6 ? [...fallbackIpv4, ...fallbackIpv6] : fallbackIpv4;
  const nameservers = overrides.dns.length > 0 ? overrides.dns : reachable.length > 0 ? reachable : fallback;
  return format({ nameservers, search: searchOf(host, overrides), options: optionsOf(host, overrides) });
}

/** For user-defined networks: the internal resolver, which asks `upstreams`. */
export function internalResolvConf(host: ResolvConf, overrides: DnsOverrides, upstreams: readonly string[]): string {
  const options = optionsOf(host, overrides);
  const withNdots = options.some(option => option.startsWith('ndots:')) ? options : [...options, 'ndots:0'];
  const text = format({ nameservers: [internalResolver], search: searchOf(host, overrides), options: withNdots });
  const servers = upstreams.map(server => (overrides.dns.length > 0 ? server : `host(${server})`)).join(' ');
  return `${text}\n# Names of containers are answered by the resolver of the network.\n# ExtServers: [${servers}]\n`;
}

/** Whether somebody has asked for search lists to be tried first for names without a dot (resolv.conf(5), ndots). */
export const wantsSearchFirst = (host: ResolvConf, overrides: DnsOverrides): boolean =>
  optionsOf(host, overrides).some(option => Number(/^ndots:(\d+)$/.exec(option)?.[1] ?? 0) > 0);

function canBeReached(server: string, ipv6: boolean): boolean {
  const address = parseIp(server.replace(/%.*$/, ''));
  return address !== undefined && !isLoopback(address) && (address.family === 4 || ipv6);
}

/** A single `.` says: search nowhere. */
function searchOf(host: ResolvConf, overrides: DnsOverrides): readonly string[] {
  const search = overrides.dnsSearch.length > 0 ? overrides.dnsSearch : host.search;
  return search.length === 1 && search[0] === '.' ? [] : search;
}

const optionsOf = (host: ResolvConf, overrides: DnsOverrides): readonly string[] =>
  overrides.dnsOptions.length > 0 ? overrides.dnsOptions : host.options;

function format({ nameservers, search, options }: ResolvConf): string {
  const lines = nameservers.map(server => `nameserver ${server}`);
  if (search.length > 0) lines.push(`search ${search.join(' ')}`);
  if (options.length > 0) lines.push(`options ${options.join(' ')}`);
  return `${lines.join('\n')}\n`;
}
