import { alreadyExists, invalidArgument, notFound, permissionDenied } from '#base/errors.ts';
import { contains, formatIp, formatPrefix, overlaps, type Prefix, parseCidr, parseIp } from '#base/ip.ts';
import { firstAddress, noPool } from './address-pool.ts';
import type { Context } from './context.ts';
import type { IpamPool, Network } from './model.ts';
import { flag, interfaceName, optionName, type Options } from './option-values.ts';
import { predefinedNames } from './predefined.ts';
import { choosePool, parsePrefix } from './subnets.ts';

export interface CreateNetwork {
  readonly name: string;
  /** Empty: `bridge`. */
  readonly driver: string;
  /** Undefined: as the options say, or the daemon. */
  readonly enableIpv4: boolean | undefined;
  readonly enableIpv6: boolean | undefined;
  readonly internal: boolean;
  readonly attachable: boolean;
  /** Nothing but settings for networks that name it in `configFrom`. */
  readonly configOnly: boolean;
  /** Name or id of the network with the settings; empty: none. */
  readonly configFrom: string;
  readonly ipam: {
    /** Empty: `default`. */
    readonly driver: string;
    readonly options: Options;
    /** Empty texts where nothing was asked. */
    readonly pools: readonly IpamPool[];
  };
  readonly options: Options;
  readonly labels: Readonly<Record<string, string>>;
}

/** What a request comes to: everything decided but what the driver makes of the options. */
export type NetworkPlan = Omit<Network, 'id' | 'created' | 'predefined' | 'bridge' | 'parent' | 'overlay' | 'plugin'>;

export const builtInDrivers: readonly string[] = ['bridge', 'macvlan', 'ipvlan', 'overlay'];
const reservedDrivers = ['host', 'null'];

/** The plugin that a network's driver is; undefined when it is one of ours, or none is needed. */
export function driverPluginOf({ driver, configOnly }: CreateNetwork): string | undefined {
  const isPlugin = driver !== '' && !configOnly && !builtInDrivers.includes(driver) && !reservedDrivers.includes(driver);
  return isPlugin ? driver : undefined;
}

/**
 * Checks a request and fills it, but for the subnets that a plugin chooses. Rejects with PermissionDenied, AlreadyExists, InvalidArgument. That a plugin
 * is there has been seen to.
 */
export function planNetwork(ctx: Context, request: CreateNetwork, inUse: readonly Prefix[]): NetworkPlan {
  checkName(ctx, request.name);
  return request.configOnly ? planConfig(request) : planUsable(ctx, withConfig(ctx, request), inUse);
}

/** A network that only holds settings: they are checked when they are used. */
function planConfig(request: CreateNetwork): NetworkPlan {
  if (request.configFrom !== '') throw permissionDenied('a configuration network cannot depend on another configuration network');
  if (request.internal || request.attachable) {
    throw permissionDenied(
      'configuration network can only contain network specific fields. Network operator fields like [ingress|internal|attachable|scope] are not supported.',
    );
  }
  return {
    ...request,
    driver: 'null',
    enableIpv4: request.enableIpv4 ?? true,
    enableIpv6: request.enableIpv6 ?? false,
    ipam: { ...request.ipam, driver: request.ipam.driver === '' ? 'default' : request.ipam.driver, chosenByUser: true },
  };
}

/** The request with the settings of the network it names. */
export function withConfig(ctx: Context, request: CreateNetwork): CreateNetwork {
  if (request.configFrom === '') return request;
  const config = ctx.networks.list().find(({ name, id }) => name === request.configFrom || id === request.configFrom);
  if (config === undefined) throw notFound(`configuration network "${request.configFrom}" could not be found`);
  if (!config.configOnly)
    throw permissionDenied(`network "${request.configFrom}" cannot be used as configuration network: it was made without --config-only`);
  const hasOwn = Object.keys(request.options).length + request.ipam.pools.length + Object.keys(request.ipam.options).length > 0;
  if (hasOwn || !['', 'default'].includes(request.ipam.driver) || request.enableIpv6 === true) {
    throw permissionDenied('user-specified configurations are not supported if the network depends on a configuration network');
  }
  return {
    ...request,
    configFrom: config.name,
    enableIpv4: config.enableIpv4,
    enableIpv6: config.enableIpv6,
    ipam: config.ipam,
    options: config.options,
    labels: { ...config.labels, ...request.labels },
  };
}

function planUsable(ctx: Context, request: CreateNetwork, inUse: readonly Prefix[]): NetworkPlan {
  const { ipam } = request;
  const driver = request.driver === '' ? 'bridge' : request.driver;
  if (reservedDrivers.includes(driver)) throw permissionDenied(`only one instance of "${driver}" network is allowed`);
  const ipamDriver = ipam.driver === '' ? 'default' : ipam.driver;
  const options = { ...ctx.options.defaultNetworkOptions[driver], ...request.options };
  const prefix = options[optionName.interfacePrefix];
  if (prefix !== undefined) interfaceName(optionName.interfacePrefix, `${prefix}0`);
  const enableIpv4 = request.enableIpv4 ?? flag(options, optionName.enableIpv4, true);
  const enableIpv6 = request.enableIpv6 ?? flag(options, optionName.enableIpv6, false);
  if (!enableIpv4 && !enableIpv6) throw invalidArgument('IPv4 or IPv6 must be enabled');
  const given = ipam.pools.filter(pool => isEnabled(pool, enableIpv4, enableIpv6));
  const pools: IpamPool[] = [];
  if (ipamDriver === 'null') pools.push(withoutAddresses(driver, given));
  else if (ipamDriver !== 'default') pools.push(...given.map(checkedPool));
  else
    for (const pool of given) {
      const taken = [...inUse, ...pools.map(one => parsePrefix(one.subnet))];
      pools.push(completePool(ctx, pool, taken, pools, driver));
    }
  for (const family of ipamDriver === 'default' ? ([4, 6] as const) : []) {
    const isEnabledFamily = family === 4 ? enableIpv4 : enableIpv6;
    if (!isEnabledFamily || pools.some(pool => parsePrefix(pool.subnet).family === family)) continue;
    pools.push(choosePool(ctx.options, family, inUse, driver));
  }
  return {
    name: request.name,
    driver,
    enableIpv4,
    enableIpv6,
    internal: request.internal,
    attachable: request.attachable,
    configOnly: false,
    configFrom: request.configFrom,
    ipam: {
      driver: ipamDriver,
      options: ipam.options,
      pools,
      chosenByUser: ipam.pools.some(pool => pool.subnet !== ''),
    },
    options,
    labels: request.labels,
  };
}

/** A subnet of a family that is turned off is left out, as Docker does. */
function isEnabled({ subnet }: IpamPool, ipv4: boolean, ipv6: boolean): boolean {
  return subnet === '' || (subnet.includes(':') ? ipv6 : ipv4);
}

function checkName(ctx: Context, name: string): void {
  if (predefinedNames.includes(name)) throw permissionDenied(`operation is not permitted on predefined ${name} network `);
  if (!/^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/.test(name)) {
    throw invalidArgument(`invalid network name: "${name}": use letters, digits, "_", "." and "-", beginning with a letter or digit`);
  }
  if (ctx.networks.byName(name) !== undefined) throw alreadyExists(`network with name ${name} already exists`);
}

/** Checks one pool and chooses what it leaves open. `own`: of the same network. */
function completePool(ctx: Context, asked: IpamPool, inUse: readonly Prefix[], own: readonly IpamPool[], driver: string): IpamPool {
  if (asked.subnet === '') {
    if (asked.gateway !== '' || asked.ipRange !== '') throw invalidArgument('invalid network config: a gateway or ip-range needs a subnet');
    return choosePool(ctx.options, 4, inUse, driver);
  }
  const subnet = checkedSubnet(asked.subnet);
  const others = ctx.networks
    .list()
    .filter(network => !network.configOnly && network.ipam.driver !== 'null')
    .flatMap(({ name, ipam }) => ipam.pools.map(pool => ({ pool, whose: `which network ${name} has` })));
  const all = [...others, ...own.map(pool => ({ pool, whose: 'which this network has too' }))];
  const other = all.find(({ pool }) => overlaps(parsePrefix(pool.subnet), subnet.prefix));
  if (other !== undefined) {
    throw permissionDenied(
      `invalid pool request: Pool overlaps with other one on this address space: ${formatPrefix(subnet.prefix)} overlaps ${other.pool.subnet}, ${other.whose}`,
    );
  }
  checkParts(asked, subnet.prefix);
  const gateway = asked.gateway === '' ? formatIp(firstAddress(subnet.prefix)) : asked.gateway;
  checkInside('gateway', gateway, subnet.prefix);
  checkReserved(asked, gateway);
  return { ...asked, subnet: formatPrefix(subnet.prefix), gateway };
}

function checkedSubnet(text: string): NonNullable<ReturnType<typeof parseCidr>> {
  const subnet = parseCidr(text);
  if (subnet === undefined)
    throw invalidArgument(`invalid subnet ${text}: invalid CIDR address: want an address and a prefix length, such as 10.1.0.0/16`);
  if (subnet.address.value !== subnet.prefix.value) {
    throw invalidArgument(`invalid network config:\ninvalid subnet ${text}: it should be ${formatPrefix(subnet.prefix)}`);
  }
  return subnet;
}

function checkParts({ ipRange, auxiliaryAddresses }: IpamPool, subnet: Prefix): void {
  if (ipRange !== '') checkRange(ipRange, subnet);
  for (const [name, address] of Object.entries(auxiliaryAddresses)) checkInside(`auxiliary address ${name}`, address, subnet);
}

/** What a plugin is asked for makes sense; what it leaves open is the plugin's to choose. */
function checkedPool(asked: IpamPool): IpamPool {
  if (asked.subnet === '') {
    if (asked.ipRange !== '') throw invalidArgument('invalid network config: an ip-range needs a subnet');
    return asked;
  }
  const { prefix } = checkedSubnet(asked.subnet);
  checkParts(asked, prefix);
  if (asked.gateway !== '') checkInside('gateway', asked.gateway, prefix);
  return { ...asked, subnet: formatPrefix(prefix) };
}

/** Addresses come from elsewhere, by DHCP or from the plugin that is the network's driver. */
function withoutAddresses(driver: string, given: readonly IpamPool[]): IpamPool {
  if (driver === 'bridge' || driver === 'overlay')
    throw invalidArgument(`a network with the driver ${driver} needs addresses: leave out --ipam-driver null`);
  if (given.length > 0) throw invalidArgument('the null ipam driver gives no addresses: leave out subnet, ip-range and gateway');
  return noPool;
}

/** Two names for one address would reserve it twice. */
function checkReserved({ auxiliaryAddresses }: IpamPool, gateway: string): void {
  const seen = new Map([[canonical(gateway), 'the gateway']]);
  for (const [name, address] of Object.entries(auxiliaryAddresses)) {
    const other = seen.get(canonical(address));
    if (other !== undefined) throw permissionDenied(`failed to reserve auxiliary address ${name} (${address}): it is ${other}`);
    seen.set(canonical(address), `auxiliary address ${name}`);
  }
}

const canonical = (text: string): string => {
  const address = parseIp(text);
  return address === undefined ? text : formatIp(address);
};

function checkInside(what: string, text: string, subnet: Prefix): void {
  const address = parseIp(text);
  if (address === undefined) throw invalidArgument(`invalid network config:\ninvalid ${what} ${text}: not an IP address`);
  if (!contains(subnet, address))
    throw invalidArgument(`invalid network config:\ninvalid ${what} ${text}: parent subnet is ${formatPrefix(subnet)}`);
}

function checkRange(text: string, subnet: Prefix): void {
  const range = parseCidr(text);
  if (range === undefined) throw invalidArgument(`invalid network config:\ninvalid ip-range ${text}: invalid CIDR address: ${text}`);
  if (!contains(subnet, range.prefix) || range.prefix.length < subnet.length) {
    throw invalidArgument(`invalid network config:\ninvalid ip-range ${text}: parent subnet is ${formatPrefix(subnet)}`);
  }
}
