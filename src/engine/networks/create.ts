import { alreadyExists, permissionDenied } from '#base/errors.ts';
import { cleanUp } from '#base/dispose.ts';
import { failpoint } from '#base/failpoint.ts';
import { newId } from '#base/id.ts';
import { readBridgeOptions } from './bridge-options.ts';
import { type Context, publish } from './context.ts';
import { type CreateNetwork, planNetwork } from './create-request.ts';
import { releasePools } from './ipam.ts';
import { bridgeMac, bridgeRulesOf, egressMtu, subnetsInUse } from './kernel-state.ts';
import type { BridgeSettings, Network, OverlaySettings } from './model.ts';
import { readOverlayOptions } from './overlay-options.ts';
import { optionName } from './option-values.ts';
import { checkEncryption, smallestMtu, tunnelBytes } from './overlay-peers.ts';
import { readParentOptions } from './parent-options.ts';
import { putLinks, takeFromKernel } from './network-links.ts';
import { createAtPlugin, findPlugins, type FoundPlugins, forgetPluginNetwork, requestAddresses } from './plugin-networks.ts';

/** Makes a network. Rejects with PermissionDenied, AlreadyExists, InvalidArgument, NotFound for an unknown driver, PluginFailure. */
export async function createNetwork(ctx: Context, request: CreateNetwork): Promise<Network> {
  // Two that ask plugins at the same time could both get the name.
  return await ctx.locks.run(`network ${request.name}`, () => create(ctx, request));
}

async function create(ctx: Context, request: CreateNetwork): Promise<Network> {
  const id = newId();
  const plugins = await findPlugins(ctx, request);
  const plan = planNetwork(ctx, request, subnetsInUse(ctx));
  const bare = { ...plan, id, created: new Date().toISOString(), predefined: false };
  if (plugins.driver !== undefined || plugins.ipam !== undefined) checkLinks(ctx, withSettings(ctx, bare, plugins));
  const addresses = await requestAddresses(ctx, bare, plugins);
  const network = withSettings(ctx, addresses.network, plugins);
  try {
    checkLinks(ctx, network);
  } catch (err) {
    await addresses.giveBack();
    throw err;
  }
  ctx.records.transaction(() => {
    ctx.networks.put(network);
    addresses.keep();
  });
  failpoint('network.create.recorded');
  try {
    if (plugins.driver !== undefined) return await createAtPlugin(ctx, plugins.driver, network);
    putInKernel(ctx, network);
  } catch (err) {
    if (network.plugin !== undefined) {
      await forgetPluginNetwork(ctx, network);
      throw err;
    }
    ctx.networks.hide(network);
    await cleanUp(`links of network ${network.name}`, ctx.log, () => takeFromKernel(ctx, network));
    await releasePools(ctx, network.ipam.driver, network.ipam.pools);
    ctx.networks.delete(network);
    throw err;
  }
  failpoint('network.create.done');
  openWay(ctx, network);
  publish(ctx, network, 'create');
  return network;
}

type Bare = Omit<Network, 'bridge' | 'parent' | 'overlay' | 'plugin'>;

function withSettings(ctx: Context, bare: Bare, plugins: FoundPlugins): Network {
  const none = { bridge: undefined, parent: undefined, overlay: undefined };
  if (plugins.driver === undefined) return { ...bare, ...none, ...driverSettings(ctx, bare) };
  return { ...bare, ...none, plugin: { scope: plugins.driver.scope, phase: 'making', allocated: false } };
}

function driverSettings(ctx: Context, network: Bare): Partial<Pick<Network, 'bridge' | 'parent' | 'overlay'>> {
  const { id, driver, options, internal, configOnly } = network;
  if (configOnly) return {};
  switch (driver) {
    case 'macvlan':
    case 'ipvlan': {
      const links = new Set(ctx.driver.linkNames());
      return { parent: readParentOptions({ id, driver, internal, options }, name => links.has(name)) };
    }
    case 'overlay': {
      const overlay = readOverlayOptions(network);
      const mtu = Math.max(egressMtu(ctx) - tunnelBytes(overlay), smallestMtu);
      const bridge: BridgeSettings = { ...bridgeDefaults(ctx, id, mtu), name: `ov-${id.slice(0, 12)}`, mtuFollows: true };
      // The host takes no part in it: it has no address there.
      return { overlay, bridge: { ...readBridgeOptions(options, bridge, internal), gatewayModes: { 4: 'isolated', 6: 'isolated' } } };
    }
    default: {
      const bridge = readBridgeOptions(options, bridgeDefaults(ctx, id, ctx.options.mtu ?? egressMtu(ctx)), internal);
      const addresses = options[optionName.bridgeName] === undefined ? undefined : ctx.driver.bridgeAddresses(bridge.name);
      return { bridge: addresses === undefined ? bridge : { ...bridge, adopted: { addresses } } };
    }
  }
}

const bridgeDefaults = (ctx: Context, id: string, mtu: number): BridgeSettings => ({
  name: `br-${id.slice(0, 12)}`,
  mac: bridgeMac(id),
  mtu,
  mtuFollows: ctx.options.mtu === undefined,
  masquerade: true,
  icc: true,
  hostBindingIpv4: '',
  gatewayModes: { 4: 'nat', 6: 'nat' },
  inhibitIpv4: false,
  trustedInterfaces: [],
  hostAddresses: { 4: '', 6: '' },
});

/** The links and the packet rules; what is there already is brought in line. */
function putInKernel(ctx: Context, network: Network): void {
  putLinks(ctx, network);
  failpoint('network.create.bridge');
  const rules = bridgeRulesOf(ctx, network);
  if (rules !== undefined) ctx.firewall.putBridge(rules);
}

/** Chains of others may know nothing of a bridge and drop what they do not know. */
export function openWay(ctx: Context, { name, bridge, internal, overlay }: Network): void {
  if (bridge === undefined || internal || overlay !== undefined) return;
  try {
    const { opened, closed } = ctx.firewall.openWay(bridge.name, othersBridges(ctx));
    if (opened.length > 0) ctx.log.info('packet rules of others now let a network through', { network: name, chains: opened.join('; ') });
    for (const what of closed) ctx.log.warn('a network is cut off by packet rules of others', { network: name, what });
  } catch (err) {
    ctx.log.warn('packet rules of others could not be read or changed', { network: name, error: err });
  }
}

/** But for one by which the host itself reaches others. */
function othersBridges(ctx: Context): string[] {
  const known = new Set(ctx.networks.list().map(network => network.bridge?.name));
  const egress = ctx.driver.egress()?.name;
  return ctx.driver.bridges().filter(name => name !== egress && !known.has(name));
}

/** Two networks cannot have one bridge, number or, but for the modes that share it, parent. */
function checkLinks(ctx: Context, network: Network): void {
  const others = ctx.networks.list();
  const { bridge, parent, overlay } = network;
  if (bridge !== undefined) checkBridgeName(ctx, others, bridge);
  if (parent !== undefined) {
    const other = others.find(one => one.parent?.link.name === parent.link.name);
    if (other?.parent !== undefined) {
      throw permissionDenied(
        `network ${other.name} is already using parent interface ${parent.link.name}: remove it, or choose another parent`,
      );
    }
  }
  if (overlay !== undefined) {
    const other = others.find(one => one.overlay?.vni === overlay.vni && one.overlay.port === overlay.port);
    if (other !== undefined)
      throw alreadyExists(`network ${other.name} has the VXLAN number ${String(overlay.vni)} already: choose another`);
    checkPort(others, overlay);
    checkEncryption(ctx, overlay);
  }
}

/** The kernel knows by the port what it has to encrypt. */
function checkPort(others: readonly Network[], { port, encryption }: OverlaySettings): void {
  const other = others.find(one => one.overlay?.port === port && (encryption !== undefined || one.overlay.encryption !== undefined));
  if (other !== undefined)
    throw alreadyExists(
      `network ${other.name} has the UDP port ${String(port)} already, and an encrypted network has one of its own: choose another with -o ${optionName.overlayPort}=`,
    );
}

/** A bridge of the host that somebody made for it is used and kept, as long as no other network has it. */
function checkBridgeName(ctx: Context, others: readonly Network[], { name, adopted }: BridgeSettings): void {
  const other = others.find(network => network.bridge?.name === name);
  if (other !== undefined) {
    throw alreadyExists(`cannot create network with bridge name ${name}: networks have same bridge name as network ${other.name}`);
  }
  if (adopted === undefined && ctx.driver.linkNames().includes(name))
    throw alreadyExists(`cannot create network with bridge name ${name}: an interface of this host has that name, and is no bridge`);
}
