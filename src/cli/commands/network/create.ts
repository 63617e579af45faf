import type { IpamConfig, NetworkCreateRequest } from '#api/types/network.ts';
import { defineCommand, exactArgs } from '../../command.ts';
import { isIP, isIPv4 } from '../../container-options/addresses.ts';
import { checkLabel, toRecord } from '../../container-options/key-values.ts';
import { ExitError } from '../../errors.ts';
import { bool, csvList, flagOf, map, text } from '../../flags/flag.ts';

const flags = {
  attachable: bool('Let containers be attached by hand', { requires: { since: '1.25' } }),
  'aux-address': map('Addresses that the network driver uses itself'),
  'config-from': text('Network to take the configuration from', { requires: { since: '1.30' } }),
  'config-only': bool('Create a configuration only', { requires: { since: '1.30' } }),
  driver: text('Network driver', { short: 'd', default: 'bridge' }),
  gateway: csvList('Address of the gateway of a subnet'),
  ingress: bool('Create the routing mesh of a swarm', { requires: { since: '1.29' } }),
  internal: bool('Without a way to other networks'),
  'ip-range': csvList('Part of a subnet to give addresses from'),
  'ipam-driver': text('Driver that manages addresses', { default: 'default' }),
  'ipam-opt': map('Options of that driver'),
  ipv4: bool('Give out IPv4 addresses', { default: true }),
  ipv6: bool('Give out IPv6 addresses'),
  label: flagOf(
    { hint: 'list', initial: [] as readonly string[], parse: (value, current) => [...current, checkLabel(value)] },
    'Set a label',
  ),
  opt: map('Options of the network driver', { short: 'o' }),
  scope: text("The network's scope", { requires: { since: '1.30' } }),
  subnet: csvList('Subnet, such as 172.30.0.0/16'),
};

export const command = defineCommand({
  usage: '[OPTIONS] NETWORK',
  names: ['network create'],
  short: 'Create a network',
  args: exactArgs(1),
  flags,
  async run(cli, { flags: given, args, changed }) {
    const request: NetworkCreateRequest = {
      Name: args[0] ?? '',
      Driver: given.driver,
      Scope: given.scope,
      ...(changed.has('ipv4') ? { EnableIPv4: given.ipv4 } : {}),
      ...(changed.has('ipv6') ? { EnableIPv6: given.ipv6 } : {}),
      IPAM: {
        Driver: given['ipam-driver'],
        Options: given['ipam-opt'],
        Config: subnetConfigs(given.subnet, given['ip-range'], given.gateway, given['aux-address']),
      },
      Internal: given.internal,
      Attachable: given.attachable,
      Ingress: given.ingress,
      ConfigOnly: given['config-only'],
      ConfigFrom: given['config-from'] === '' ? null : { Network: given['config-from'] },
      Options: given.opt,
      Labels: toRecord(given.label),
      CheckDuplicate: true,
    };
    const { networks } = await cli.client();
    const created = await networks.create(request);
    if ((created.Warning ?? '') !== '') cli.err.line(`WARNING: ${created.Warning}`);
    cli.out.line(created.Id);
  },
});

/** Gives each range, gateway and auxiliary address to the subnet that holds it. */
export function subnetConfigs(
  subnets: readonly string[],
  ranges: readonly string[],
  gateways: readonly string[],
  auxiliary: Readonly<Record<string, string>>,
): IpamConfig[] {
  if (subnets.length < ranges.length || subnets.length < gateways.length)
    throw new ExitError(1, 'every ip-range or gateway must have a corresponding subnet');
  const configs = new Map<string, IpamConfig>();
  for (const subnet of subnets) {
    for (const other of configs.keys()) {
      if (contains(subnet, other) || contains(other, subnet))
        throw new ExitError(1, 'multiple overlapping subnet configuration is not supported');
    }
    configs.set(subnet, { Subnet: subnet, AuxiliaryAddresses: {} });
  }
  const place = (address: string, what: string, put: (config: IpamConfig) => void): void => {
    const home = [...configs].find(([subnet]) => contains(subnet, address));
    if (home === undefined) throw new ExitError(1, `no matching subnet for ${what} ${address}`);
    put(home[1]);
  };
  for (const range of ranges) {
    place(range, 'range', config => {
      if (config.IPRange !== undefined)
        throw new ExitError(1, `cannot configure multiple ranges (${range}, ${config.IPRange}) on the same subnet (${config.Subnet})`);
      config.IPRange = range;
    });
  }
  for (const gateway of gateways) {
    place(gateway, 'gateway', config => {
      if (config.Gateway !== undefined)
        throw new ExitError(1, `cannot configure multiple gateways (${gateway}, ${config.Gateway}) for the same subnet (${config.Subnet})`);
      config.Gateway = gateway;
    });
  }
  for (const [name, address] of Object.entries(auxiliary)) {
    place(address, 'aux-address', config => {
      config.AuxiliaryAddresses = { ...config.AuxiliaryAddresses, [name]: address };
    });
  }
  return [...configs.values()];
}

/** True when an address, or a subnet's, lies in a subnet. What cannot be read is for the daemon to refuse. */
function contains(subnet: string, other: string): boolean {
  const [base = '', bits = ''] = subnet.split('/');
  const [address = ''] = other.split('/');
  if (!isIP(base) || !isIP(address) || isIPv4(base) !== isIPv4(address) || !/^\d+$/.test(bits)) return false;
  const width = isIPv4(base) ? 32 : 128;
  const shift = BigInt(width - Math.min(width, Number(bits)));
  return toNumber(base) >> shift === toNumber(address) >> shift;
}

function toNumber(address: string): bigint {
  if (isIPv4(address)) return address.split('.').reduce((total, part) => (total << 8n) | BigInt(part), 0n);
  const [head = '', tail] = address.split('::');
  const groups = (text: string): string[] =>
    text === '' ? [] : text.split(':').flatMap(group => (isIPv4(group) ? embedded(group) : [group]));
  const [left, right] = [groups(head), groups(tail ?? '')];
  const all = tail === undefined ? left : [...left, ...Array.from({ length: 8 - left.length - right.length }, () => '0'), ...right];
  return all.reduce((total, group) => (total << 16n) | BigInt(`0x${group}`), 0n);
}

function embedded(ipv4: string): string[] {
  const [a = 0, b = 0, c = 0, d = 0] = ipv4.split('.').map(Number);
  return [(a * 256 + b).toString(16), (c * 256 + d).toString(16)];
}
