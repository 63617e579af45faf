import type { EndpointSettings } from '#api/types/network.ts';
import { splitCsv } from '#base/csv.ts';
import { cut } from '../flags/flag.ts';
import { isIPv4, isIPv6, isMac } from './addresses.ts';

/** One `--network`: a mode or a name, and how to join. */
export interface NetworkAttachment {
  target: string;
  aliases: string[];
  links: string[];
  driverOpts: Record<string, string>;
  ipv4: string;
  ipv6: string;
  linkLocal: string[];
  mac: string;
  gwPriority: number;
}

export const emptyAttachment = (target: string): NetworkAttachment => ({
  target,
  aliases: [],
  links: [],
  driverOpts: {},
  ipv4: '',
  ipv6: '',
  linkLocal: [],
  mac: '',
  gwPriority: 0,
});

/** `name`, or `name=…,alias=…,ip=…`. */
export function parseNetworkOption(text: string): NetworkAttachment {
  if (!/\w+=\w+(,\w+=\w+)*/.test(text)) return emptyAttachment(text);
  const attachment = emptyAttachment('');
  for (const field of splitCsv(text)) {
    const [rawKey, rawValue] = cut(field.toLowerCase().startsWith('driver-opt') ? field : field);
    if (rawValue === undefined) throw new Error(`invalid field ${field}`);
    const key = rawKey.trim().toLowerCase();
    const value = rawValue.trim();
    switch (key) {
      case 'name':
        attachment.target = value;
        break;
      case 'alias':
        attachment.aliases.push(value);
        break;
      case 'driver-opt': {
        const [option, setting] = cut(value);
        if (setting === undefined) throw new Error('invalid key value pair format in driver options');
        attachment.driverOpts[option.trim().toLowerCase()] = setting.trim().toLowerCase();
        break;
      }
      case 'ip':
        attachment.ipv4 = value;
        break;
      case 'ip6':
        attachment.ipv6 = value;
        break;
      case 'mac-address':
        if (!isMac(value)) throw new Error(`${value} is not a valid mac address`);
        attachment.mac = value;
        break;
      case 'link-local-ip':
        attachment.linkLocal.push(value);
        break;
      case 'gw-priority':
        if (!/^[+-]?\d+$/.test(value)) throw new Error(`invalid gw-priority (${value}): must be an integer`);
        attachment.gwPriority = Number(value);
        break;
      default:
        throw new Error(`invalid field key ${key}`);
    }
  }
  if (attachment.target === '') throw new Error('network name/id is not specified');
  return attachment;
}

/** What was said outside `--network` about the way to join. */
export interface ContainerNetworkOptions {
  readonly aliases: readonly string[];
  readonly links: readonly string[];
  readonly ipv4: string;
  readonly ipv6: string;
  readonly linkLocal: readonly string[];
  readonly mac: string;
}

const isUserDefined = (mode: string): boolean =>
  !['', 'default', 'bridge', 'host', 'none'].includes(mode) && !mode.startsWith('container:');

export interface ParsedNetworks {
  readonly mode: string;
  readonly endpoints: Record<string, EndpointSettings>;
}

/** Joins what all network options say; throws an Error on those that contradict each other. */
export function resolveNetworks(attachments: readonly NetworkAttachment[], options: ContainerNetworkOptions): ParsedNetworks {
  const endpoints: Record<string, EndpointSettings> = {};
  const all = attachments.length === 0 ? [emptyAttachment('default')] : attachments;
  const kinds = new Set<boolean>();
  for (const [i, attachment] of all.entries()) {
    const userDefined = isUserDefined(attachment.target);
    kinds.add(userDefined);
    const merged = i === 0 ? applyContainerOptions(attachment, options) : attachment;
    const endpoint = toEndpoint(merged, userDefined);
    if (Object.hasOwn(endpoints, attachment.target))
      throw new Error(`network ${JSON.stringify(attachment.target)} is specified multiple times`);
    // The modes container:… and host have no endpoint, and bridge has one only when something is to be said about it.
    if (attachments.length > 0 || Object.keys(endpoint).length > 0) endpoints[attachment.target] = endpoint;
  }
  if (kinds.size > 1) throw new Error('conflicting options: cannot attach both user-defined and non-user-defined network-modes');
  return { mode: all[0]?.target ?? 'default', endpoints };
}

function applyContainerOptions(attachment: NetworkAttachment, options: ContainerNetworkOptions): NetworkAttachment {
  const clash = (flag: string, what: string): never => {
    throw new Error(`conflicting options: cannot specify both ${flag} and per-network ${what}`);
  };
  if (attachment.aliases.length > 0 && options.aliases.length > 0) clash('--network-alias', 'alias');
  if (attachment.links.length > 0 && options.links.length > 0) clash('--link', 'links');
  if (attachment.ipv4 !== '' && options.ipv4 !== '') clash('--ip', 'IPv4 address');
  if (attachment.ipv6 !== '' && options.ipv6 !== '') clash('--ip6', 'IPv6 address');
  if (attachment.mac !== '' && options.mac !== '') clash('--mac-address', 'MAC address');
  if (attachment.linkLocal.length > 0 && options.linkLocal.length > 0) clash('--link-local-ip', 'link-local IP addresses');
  const userDefined = isUserDefined(attachment.target);
  return {
    ...attachment,
    aliases: [...attachment.aliases, ...options.aliases],
    // Links on the default bridge are the daemon's older kind and travel in HostConfig.
    links: userDefined ? [...attachment.links, ...options.links] : attachment.links,
    ipv4: attachment.ipv4 === '' ? options.ipv4 : attachment.ipv4,
    ipv6: attachment.ipv6 === '' ? options.ipv6 : attachment.ipv6,
    mac: attachment.mac === '' ? options.mac : attachment.mac,
    linkLocal: [...attachment.linkLocal, ...options.linkLocal],
  };
}

function toEndpoint(attachment: NetworkAttachment, userDefined: boolean): EndpointSettings {
  if (attachment.target.trim() === '') throw new Error('no name set for network');
  if (!userDefined && attachment.aliases.length > 0) throw new Error('network-scoped aliases are only supported for user-defined networks');
  if (!userDefined && attachment.links.length > 0) throw new Error('links are only supported for user-defined networks');
  if (attachment.ipv4 !== '' && !isIPv4(attachment.ipv4)) throw new Error(`invalid IPv4 address: ${attachment.ipv4}`);
  if (attachment.ipv6 !== '' && !isIPv6(attachment.ipv6)) throw new Error(`invalid IPv6 address: ${attachment.ipv6}`);
  const hasAddress = attachment.ipv4 !== '' || attachment.ipv6 !== '' || attachment.linkLocal.length > 0;
  return {
    ...(hasAddress
      ? {
          IPAMConfig: {
            ...(attachment.ipv4 === '' ? {} : { IPv4Address: attachment.ipv4 }),
            ...(attachment.ipv6 === '' ? {} : { IPv6Address: attachment.ipv6 }),
            ...(attachment.linkLocal.length === 0 ? {} : { LinkLocalIPs: attachment.linkLocal }),
          },
        }
      : {}),
    ...(attachment.links.length === 0 ? {} : { Links: attachment.links }),
    ...(attachment.aliases.length === 0 ? {} : { Aliases: attachment.aliases }),
    ...(Object.keys(attachment.driverOpts).length === 0 ? {} : { DriverOpts: attachment.driverOpts }),
    ...(attachment.mac === '' ? {} : { MacAddress: attachment.mac }),
    ...(attachment.gwPriority === 0 ? {} : { GwPriority: attachment.gwPriority }),
  };
}
