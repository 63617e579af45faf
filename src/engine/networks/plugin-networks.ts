import { kindOf, messageOf } from '#base/errors.ts';
import { failpoint } from '#base/failpoint.ts';
import { parseCidr } from '#base/ip.ts';
import type { RemoteIpam, RemoteNetwork, RemoteNetworkDriver, RemotePool } from '#core/network-plugins.ts';
import { type Context, publish } from './context.ts';
import { type CreateNetwork, driverPluginOf, withConfig } from './create-request.ts';
import { releasePools, requestPools } from './ipam.ts';
import type { IpamPool, Network } from './model.ts';

/** The plugins that a network needs, ready to be used. */
export interface FoundPlugins {
  readonly driver: RemoteNetworkDriver | undefined;
  readonly ipam: RemoteIpam | undefined;
}

/** Rejects with NotFound for a driver that is none of ours and no plugin's name, with PluginFailure when it does not answer. */
export async function findPlugins(ctx: Context, request: CreateNetwork): Promise<FoundPlugins> {
  if (request.configOnly) return { driver: undefined, ipam: undefined };
  const { ipam } = withConfig(ctx, request);
  const driverName = driverPluginOf(request);
  const ipamName = ['', 'default', 'null'].includes(ipam.driver) ? undefined : ipam.driver;
  const found = {
    driver: driverName === undefined ? undefined : await ctx.plugins.network(driverName),
    ipam: ipamName === undefined ? undefined : await ctx.plugins.ipam(ipamName),
  };
  for (const name of new Set([driverName, ipamName])) if (name !== undefined) await ctx.owed.settle(name);
  return found;
}

type Asked = Omit<Network, 'bridge' | 'parent' | 'overlay' | 'plugin'>;

/** The network with the pools that a plugin gave it. `keep` goes with the network's record; until then a daemon's end gives them back. */
export async function requestAddresses(
  ctx: Context,
  asked: Asked,
  { driver, ipam }: FoundPlugins,
): Promise<{ readonly network: Asked; keep(): void; giveBack(): Promise<void> }> {
  if (ipam === undefined) return { network: asked, keep: () => undefined, giveBack: () => Promise.resolve() };
  const skips = driver === undefined ? { 4: false, 6: false } : await driver.withoutGateway(asked);
  const { pools, keep } = await requestPools(ctx, ipam, asked, driver?.scope ?? (asked.driver === 'overlay' ? 'global' : 'local'), skips);
  return {
    network: { ...asked, ipam: { ...asked.ipam, pools } },
    keep,
    async giveBack() {
      await releasePools(ctx, ipam.name, pools);
      keep();
    },
  };
}

/** A record says that the plugin may know of the network, before it is told. */
export async function createAtPlugin(ctx: Context, driver: RemoteNetworkDriver, network: Network): Promise<Network> {
  let made = network;
  let remote = remoteNetwork(network);
  const put = (plugin: Partial<Network['plugin']>): void => {
    made = { ...made, plugin: { scope: driver.scope, phase: 'making', allocated: false, ...made.plugin, ...plugin } };
    ctx.networks.put(made);
  };
  if (driver.scope === 'global') {
    put({ allocated: true });
    const options = await driver.allocateNetwork(remote);
    if (options === undefined) put({ allocated: false });
    else remote = { ...remote, options: { ...remote.options, ...options } };
  }
  await driver.createNetwork(remote);
  failpoint('network.plugin.created');
  put({ phase: 'made' });
  publish(ctx, made, 'create');
  return made;
}

/** Removes a network that its plugin may or may not know of, with its addresses. What cannot be told now is told later. */
export async function forgetPluginNetwork(ctx: Context, network: Network): Promise<void> {
  ctx.networks.hide(network);
  await ctx.owed.tell({ plugin: network.driver, undo: { call: 'DeleteNetwork', networkId: network.id } });
  await forgetRest(ctx, network);
}

async function forgetRest(ctx: Context, network: Network): Promise<void> {
  failpoint('network.plugin.deleted');
  const plugin = network.driver;
  if (network.plugin?.allocated === true) await ctx.owed.tell({ plugin, undo: { call: 'FreeNetwork', networkId: network.id } });
  await releasePools(ctx, network.ipam.driver, network.ipam.pools);
  ctx.networks.delete(network);
}

/**
 * Rejects with PluginFailure when the plugin is there and does not answer: then the network stays. What it refuses is only logged, as it may have
 * forgotten the network; one whose plugin is gone for good can be removed.
 */
export async function removePluginNetwork(ctx: Context, network: Network): Promise<void> {
  if (network.plugin === undefined) return;
  const undo = { call: 'DeleteNetwork', networkId: network.id } as const;
  ctx.networks.put({ ...network, plugin: { ...network.plugin, phase: 'leaving' } });
  ctx.networks.hide(network);
  try {
    const driver = await ctx.plugins.network(network.driver);
    await driver.undo(undo);
  } catch (err) {
    if (kindOf(err) === 'Unavailable') {
      ctx.networks.put(network);
      throw err;
    }
    const isGone = kindOf(err) === 'NotFound';
    if (isGone) ctx.owed.add({ plugin: network.driver, undo });
    ctx.log.warn(
      isGone
        ? 'the plugin of a network that is removed is gone: it is told if it comes back'
        : 'a network is removed that its plugin refused to',
      {
        network: network.name,
        plugin: network.driver,
        error: messageOf(err),
      },
    );
  }
  await forgetRest(ctx, network);
}

/** After a daemon's end: what is owed to plugins, networks that were half made or half removed, and what a plugin has forgotten. Returns in words what was done. */
export async function recoverPluginNetworks(ctx: Context): Promise<string[]> {
  const repaired = await ctx.owed.settle();
  for (const network of ctx.networks.list()) {
    if (network.plugin === undefined || network.plugin.phase === 'made') continue;
    await forgetPluginNetwork(ctx, network);
    repaired.push(`network ${network.name}, which the plugin ${network.driver} had not quite made or removed`);
  }
  return repaired;
}

function remoteNetwork({ id, options, enableIpv4, enableIpv6, internal, ipam }: Network): RemoteNetwork {
  const pools = { 4: [] as RemotePool[], 6: [] as RemotePool[] };
  for (const pool of ipam.pools) pools[pool.subnet.includes(':') ? 6 : 4].push(remotePool(pool, ipam.driver));
  return { id, options, enableIpv4, enableIpv6, internal, pools };
}

/** The address spaces of our own driver have the names that Docker's have. */
function remotePool({ subnet, gateway, auxiliaryAddresses, remote }: IpamPool, ipamDriver: string): RemotePool {
  const length = String(parseCidr(subnet)?.prefix.length ?? 0);
  return {
    addressSpace: remote?.addressSpace ?? (ipamDriver === 'null' ? 'null' : 'LocalDefault'),
    pool: subnet,
    gateway: gateway === '' ? '' : `${gateway}/${length}`,
    auxiliary: Object.fromEntries(Object.entries(auxiliaryAddresses).map(([name, address]) => [name, `${address}/${length}`])),
  };
}
