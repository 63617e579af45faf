import { parseIp, formatIp } from '#base/ip.ts';
import type { NameLookup } from '#core/name-server.ts';
import { dnsOverridesOf } from './container-files.ts';
import type { Context } from './context.ts';
import type { Network, SandboxRecord } from './model.ts';
import { parseResolvConf, wantsSearchFirst } from './resolv-conf.ts';

const mostUpstreams = 3;

/** What the resolver of the networks knows. A container learns names of the networks it is on and of no others. */
export function lookupIn(ctx: Context): NameLookup {
  return {
    addresses(containerId, asked, family) {
      const name = asked.toLowerCase();
      const found = neighbours(ctx, containerId).filter(({ network, attachment }) =>
        attachment.dnsNames.some(known => known.toLowerCase() === name || `${known}.${network.name}`.toLowerCase() === name),
      );
      if (found.length === 0) return linkedAddresses(ctx, containerId, name, family);
      return found.flatMap(({ attachment: { link } }) => (family === 4 ? link?.ipv4 : link?.ipv6)?.address ?? []);
    },
    nameOf(containerId, text) {
      const asked = parseIp(text);
      if (asked === undefined) return undefined;
      const wanted = formatIp(asked);
      const found = neighbours(ctx, containerId).find(
        ({ attachment: { link } }) => link?.ipv4?.address === wanted || link?.ipv6?.address === wanted,
      );
      const name = found?.attachment.dnsNames[0];
      return found === undefined || name === undefined ? undefined : `${name}.${found.network.name}`;
    },
    upstreams(containerId) {
      const sandbox = ctx.sandboxes.get(containerId);
      const leadsOut = networksOf(ctx, sandbox).some(network => !network.internal);
      if (sandbox === undefined || !leadsOut) return { servers: [], from: 'host', keepsSingleLabels: false };
      const overrides = dnsOverridesOf(ctx, sandbox.request);
      const host = parseResolvConf(ctx.hostFiles.resolvConf());
      const keepsSingleLabels = wantsSearchFirst(host, overrides);
      if (overrides.dns.length > 0) return { servers: overrides.dns.slice(0, mostUpstreams), from: 'container', keepsSingleLabels };
      return { servers: host.nameservers.slice(0, mostUpstreams), from: 'host', keepsSingleLabels };
    },
  };
}

const networksOf = (ctx: Context, sandbox: SandboxRecord | undefined): Network[] =>
  (sandbox?.attachments ?? []).flatMap(({ networkId }) => ctx.networks.byId(networkId) ?? []);

/** Everybody on a user-defined network that this container is on too. */
function neighbours(ctx: Context, containerId: string) {
  return networksOf(ctx, ctx.sandboxes.get(containerId))
    .filter(network => !network.predefined)
    .flatMap(network => ctx.sandboxes.on(network.id).map(one => ({ network, ...one })));
}

/** Names that only this container uses for others: `links` of its endpoints, as `container:alias`. */
function linkedAddresses(ctx: Context, containerId: string, name: string, family: 4 | 6): readonly string[] | undefined {
  const sandbox = ctx.sandboxes.get(containerId);
  for (const { config, networkId } of sandbox?.attachments ?? []) {
    for (const link of config.links ?? []) {
      const [target = '', alias = target] = link.split(':');
      if (alias.toLowerCase() !== name) continue;
      const found = ctx.sandboxes
        .on(networkId)
        .filter(
          ({ sandbox: { request } }) => request.containerName === target.replace(/^\//, '') || request.containerId.startsWith(target),
        );
      if (found.length > 0)
        return found.flatMap(({ attachment }) => (family === 4 ? attachment.link?.ipv4 : attachment.link?.ipv6)?.address ?? []);
    }
  }
  return undefined;
}
