import { invalidArgument } from '#base/errors.ts';
import { failpoint } from '#base/failpoint.ts';
import { contains, formatIp, formatPrefix, type IpAddress, parseCidr, parseIp } from '#base/ip.ts';
import type { RemoteIpam, RemoteUndo } from '#core/network-plugins.ts';
import { noPool } from './address-pool.ts';
import type { Context } from './context.ts';
import type { AttachedAddress, IpamPool, Network } from './model.ts';

/** Addresses that a plugin keeps. */
const isRemote = ({ ipam }: Pick<Network, 'ipam'>): boolean => ipam.driver !== 'default' && ipam.driver !== 'null';

/** The plugin that keeps a network's addresses, ready to be used. Undefined when it is not a plugin. */
export async function ipamOf(ctx: Context, network: Pick<Network, 'ipam'>): Promise<RemoteIpam | undefined> {
  if (!isRemote(network)) return undefined;
  const ipam = await ctx.plugins.ipam(network.ipam.driver);
  await ctx.owed.settle(network.ipam.driver);
  return ipam;
}

/** Takes an address of a network, this one or any. Rejects with InvalidArgument, Conflict, ResourceExhausted, PluginFailure. */
export async function takeAddress(
  ctx: Context,
  network: Network,
  family: 4 | 6,
  wanted: string | undefined,
  ipam: RemoteIpam | undefined,
  mac: string | undefined,
): Promise<AttachedAddress | undefined> {
  const asked = wanted === undefined || wanted === '' ? undefined : parseIp(wanted);
  if (network.ipam.driver === 'null') {
    if (asked !== undefined) throw invalidArgument(`network ${network.name} has no addresses to give (--ipam-driver null)`);
    return undefined;
  }
  return ipam === undefined ? takeOwnAddress(ctx, network, family, asked) : await takeRemoteAddress(ctx, network, family, asked, ipam, mac);
}

function takeOwnAddress(ctx: Context, network: Network, family: 4 | 6, asked: IpAddress | undefined): AttachedAddress | undefined {
  const pools = ctx.networks.pools(network).filter(pool => pool.subnet.family === family);
  const [first] = pools;
  if (first === undefined) {
    if (asked !== undefined) throw invalidArgument(`no configured subnet or ip-range contain the IP address ${formatIp(asked)}`);
    return undefined;
  }
  const pool = asked === undefined ? first : (poolFor(ctx, network, asked) ?? first);
  if (asked !== undefined) pool.takeThis(asked);
  const address = asked ?? pool.takeNext();
  const gateway = pool.gateway === undefined ? '' : formatIp(pool.gateway);
  return { address: formatIp(address), prefixLength: pool.subnet.length, gateway: gatewayOn(ctx, network, family, gateway) };
}

async function takeRemoteAddress(
  ctx: Context,
  network: Network,
  family: 4 | 6,
  asked: IpAddress | undefined,
  ipam: RemoteIpam,
  mac: string | undefined,
): Promise<AttachedAddress | undefined> {
  const pools = network.ipam.pools.filter(({ subnet }) => parseCidr(subnet)?.prefix.family === family);
  const pool = asked === undefined ? pools[0] : (pools.find(one => holds(one, asked)) ?? pools[0]);
  if (pool?.remote === undefined) {
    if (asked !== undefined) throw invalidArgument(`no configured subnet or ip-range contain the IP address ${formatIp(asked)}`);
    return undefined;
  }
  const text = await ipam.requestAddress(pool.remote.poolId, asked === undefined ? '' : formatIp(asked), mac === undefined ? {} : { mac });
  const found = parseCidr(text);
  if (found === undefined) return undefined;
  const gateway = gatewayOn(ctx, network, family, pool.gateway);
  return { address: formatIp(found.address), prefixLength: found.prefix.length, gateway };
}

/** Where containers send what leads out. */
function gatewayOn(ctx: Context, network: Network, family: 4 | 6, own: string): string {
  const gateway = network.bridge?.gatewayModes[family] === 'isolated' ? '' : own;
  return network.predefined ? (ctx.options.defaultGateways[family] ?? gateway) : gateway;
}

const holds = ({ subnet }: IpamPool, address: IpAddress): boolean => {
  const prefix = parseCidr(subnet)?.prefix;
  return prefix?.family === address.family && contains(prefix, address);
};

/** Already back is fine. */
export async function releaseAddress(ctx: Context, network: Network, { address: text }: AttachedAddress): Promise<void> {
  const address = parseIp(text);
  if (address === undefined) return;
  if (!isRemote(network)) return poolFor(ctx, network, address)?.release(address);
  const poolId = network.ipam.pools.find(pool => holds(pool, address))?.remote?.poolId;
  if (poolId !== undefined) await ctx.owed.tell({ plugin: network.ipam.driver, undo: { call: 'ReleaseAddress', poolId, address: text } });
}

/** Marks an address as taken that a record says is. */
export function retakeAddress(ctx: Context, network: Network, { address: text }: AttachedAddress): void {
  const address = parseIp(text);
  if (address !== undefined) poolFor(ctx, network, address)?.takeThis(address);
}

function poolFor(ctx: Context, network: Network, address: IpAddress) {
  return ctx.networks.pools(network).find(({ subnet }) => subnet.family === address.family && contains(subnet, address));
}

/**
 * Asks a plugin for the pools that a network needs, with a gateway and the reserved addresses of each. What it gives is owed back until `keep` is called,
 * which has to happen together with the network's record. Rejects with PluginFailure after everything was given back.
 */
export async function requestPools(
  ctx: Context,
  ipam: RemoteIpam,
  plan: Pick<Network, 'enableIpv4' | 'enableIpv6' | 'ipam'>,
  scope: 'local' | 'global',
  skipsGateway: Readonly<Record<4 | 6, boolean>>,
): Promise<{ readonly pools: readonly IpamPool[]; keep(): void }> {
  const given: Given[] = [];
  const owe = (undo: RemoteUndo): Given => ({ undo, forget: ctx.owed.hold({ plugin: ipam.name, undo }) });
  const addressSpace = ipam.addressSpaces[scope];
  const wanted = [...plan.ipam.pools];
  const hasFamily = (family: 4 | 6): boolean => wanted.some(({ subnet }) => subnet.includes(':') === (family === 6));
  if (plan.enableIpv4 && !hasFamily(4)) wanted.push({ ...noPool, subnet: '' });
  const families = wanted.map(({ subnet }) => (subnet.includes(':') ? 6 : 4) as 4 | 6);
  if (plan.enableIpv6 && !hasFamily(6)) {
    wanted.push({ ...noPool, subnet: '' });
    families.push(6);
  }
  const pools: IpamPool[] = [];
  try {
    for (const [index, asked] of wanted.entries()) {
      const family = families[index] ?? 4;
      const { poolId, subnet, gateway } = await ipam.requestPool({
        addressSpace,
        subnet: asked.subnet,
        range: asked.ipRange,
        options: plan.ipam.options,
        family,
      });
      const place = given.push(owe({ call: 'ReleasePool', poolId })) - 1;
      failpoint('network.plugin.pool');
      const take = async (address: string, isGateway: boolean): Promise<string> => {
        const taken = await ipam.requestAddress(poolId, address, isGateway ? { gateway: true } : {});
        given.splice(place, 0, owe({ call: 'ReleaseAddress', poolId, address: bare(taken) }));
        // Addresses go back before their pool.
        const pool = given[given.length - 1];
        pool?.forget();
        given[given.length - 1] = owe({ call: 'ReleasePool', poolId });
        return taken;
      };
      const reserved: string[] = [];
      let own = gateway;
      if (asked.gateway !== '' || (own === '' && !skipsGateway[family])) {
        own = await take(asked.gateway, true);
        reserved.push(bare(own));
      }
      for (const address of Object.values(asked.auxiliaryAddresses)) reserved.push(bare(await take(address, false)));
      const prefix = parseCidr(subnet)?.prefix;
      pools.push({
        subnet: prefix === undefined ? subnet : formatPrefix(prefix),
        ipRange: asked.ipRange,
        gateway: own === '' ? '' : bare(own),
        auxiliaryAddresses: asked.auxiliaryAddresses,
        remote: { poolId, addressSpace, reserved },
      });
    }
  } catch (err) {
    for (const { undo, forget } of given) {
      await ctx.owed.tell({ plugin: ipam.name, undo });
      forget();
    }
    throw err;
  }
  return { pools, keep: () => given.forEach(({ forget }) => forget()) };
}

interface Given {
  readonly undo: RemoteUndo;
  forget(): void;
}

const bare = (text: string): string => text.replace(/\/.*$/, '');

/** Gives the pools of a network back, with what it has reserved in them. */
export async function releasePools(ctx: Context, plugin: string, pools: readonly IpamPool[]): Promise<void> {
  for (const { remote } of pools) {
    if (remote === undefined) continue;
    for (const address of remote.reserved)
      await ctx.owed.tell({ plugin, undo: { call: 'ReleaseAddress', poolId: remote.poolId, address } });
    await ctx.owed.tell({ plugin, undo: { call: 'ReleasePool', poolId: remote.poolId } });
  }
}

/** Some plugins keep nothing: asks such a one again for everything that this daemon's networks and containers have. */
export async function replayRequests(ctx: Context): Promise<void> {
  for (const network of ctx.networks.list().filter(one => isRemote(one) && !one.configOnly)) {
    const ipam = await ctx.plugins.ipam(network.ipam.driver, { isPatient: false });
    if (!ipam.needsReplay) continue;
    for (const pool of network.ipam.pools) {
      if (pool.remote === undefined) continue;
      const { poolId, addressSpace, reserved } = pool.remote;
      const family = pool.subnet.includes(':') ? 6 : 4;
      await ipam.requestPool({ addressSpace, subnet: pool.subnet, range: pool.ipRange, options: network.ipam.options, family });
      for (const address of reserved) await ipam.requestAddress(poolId, address, address === pool.gateway ? { gateway: true } : {});
    }
    for (const { attachment } of ctx.sandboxes.on(network.id)) {
      for (const taken of [attachment.link?.ipv4, attachment.link?.ipv6]) {
        const address = taken === undefined ? undefined : parseIp(taken.address);
        const pool = address && network.ipam.pools.find(one => holds(one, address));
        if (taken === undefined || pool?.remote === undefined) continue;
        const mac = ipam.needsMac ? attachment.link?.mac : undefined;
        await ipam.requestAddress(pool.remote.poolId, taken.address, mac === undefined ? {} : { mac });
      }
    }
  }
}
