import { invalidArgument } from '#base/errors.ts';
import { parseIp } from '#base/ip.ts';
import type { SandboxRequest } from '#core/network.ts';
import type { Context } from './context.ts';
import { formatHostsFile, type HostEntry, parseExtraHost } from './hosts-file.ts';
import type { Attachment } from './model.ts';
import { type DnsOverrides, directResolvConf, internalResolvConf, parseResolvConf } from './resolv-conf.ts';

/** The contents of /etc/hosts and /etc/resolv.conf in a container with these attachments. */
export function containerFiles(
  ctx: Context,
  request: SandboxRequest,
  attachments: readonly Attachment[],
): { readonly hosts: string; readonly resolvConf: string } {
  const { hostname, domainname } = request;
  if (request.mode.mode === 'host') return { hosts: hostModeHosts(ctx, request), resolvConf: hostModeResolvConf(ctx, request) };
  const addresses = attachments.flatMap(({ link }) => [link?.ipv4?.address, link?.ipv6?.address].filter(one => one !== undefined));
  const hosts = formatHostsFile({ hostname, domainname, addresses, extraHosts: extraHostsOf(ctx, request, attachments), ipv6: true });
  return { hosts, resolvConf: resolvConfOf(ctx, request, attachments) };
}

/** What a container's own resolver settings are, the daemon's filling the gaps. */
export function dnsOverridesOf(ctx: Context, request: SandboxRequest): DnsOverrides {
  const { options } = ctx;
  return {
    dns: request.dns.length > 0 ? request.dns : options.dns,
    dnsSearch: request.dnsSearch.length > 0 ? request.dnsSearch : options.dnsSearch,
    dnsOptions: request.dnsOptions.length > 0 ? request.dnsOptions : options.dnsOptions,
  };
}

/** Whether one of the networks has names of its own, which the resolver at 127.0.0.11 answers. */
export const usesInternalResolver = (ctx: Context, attachments: readonly Attachment[]): boolean =>
  attachments.some(({ networkId }) => {
    const network = ctx.networks.byId(networkId);
    return network !== undefined && !network.predefined;
  });

function resolvConfOf(ctx: Context, request: SandboxRequest, attachments: readonly Attachment[]): string {
  const host = parseResolvConf(ctx.hostFiles.resolvConf());
  const overrides = dnsOverridesOf(ctx, request);
  if (!usesInternalResolver(ctx, attachments)) {
    return directResolvConf(
      host,
      overrides,
      attachments.some(({ link }) => link?.ipv6 !== undefined),
    );
  }
  return internalResolvConf(host, overrides, overrides.dns.length > 0 ? overrides.dns : host.nameservers);
}

function hostModeHosts(ctx: Context, request: SandboxRequest): string {
  const text = ctx.hostFiles.hosts();
  const extra = extraHostsOf(ctx, request, []).map(({ name, address }) => `${address}\t${name}\n`);
  return extra.length === 0 ? text : `${text.replace(/\n*$/, '\n')}${extra.join('')}`;
}

function hostModeResolvConf(ctx: Context, request: SandboxRequest): string {
  const text = ctx.hostFiles.resolvConf();
  const overrides = dnsOverridesOf(ctx, request);
  if (overrides.dns.length + overrides.dnsSearch.length + overrides.dnsOptions.length === 0) return text;
  const host = parseResolvConf(text);
  return directResolvConf(
    overrides.dns.length > 0 ? host : { ...host, nameservers: [] },
    { ...overrides, dns: overrides.dns.length > 0 ? overrides.dns : host.nameservers },
    true,
  );
}

function extraHostsOf(ctx: Context, request: SandboxRequest, attachments: readonly Attachment[]): HostEntry[] {
  return request.extraHosts.flatMap(text => {
    const entry = parseExtraHost(text);
    if (entry === undefined) throw invalidArgument(`bad format for add-host: "${text}"`);
    if (entry.address === 'host-gateway') return hostGateways(ctx, attachments).map(address => ({ name: entry.name, address }));
    if (parseIp(entry.address) === undefined) throw invalidArgument(`invalid IP address in add-host: "${entry.address}"`);
    return [entry];
  });
}

/** Where the host can be reached from a container: what the operator says, or the gateway of the default bridge. */
function hostGateways(ctx: Context, attachments: readonly Attachment[]): string[] {
  if (ctx.options.hostGateways.length > 0) return [...ctx.options.hostGateways];
  const pools = ctx.networks.byName('bridge')?.ipam.pools ?? [];
  const gateways = pools.map(pool => pool.gateway).filter(gateway => gateway !== '');
  const [own] = attachments;
  return gateways.length > 0 ? gateways : [own?.link?.ipv4?.gateway ?? '127.0.0.1'];
}
