import { isErrno } from '#base/errors.ts';
import { formatPrefix, type IpAddress, ipBytes, ipFromBytes, type Prefix } from '#base/ip.ts';
import type { NetlinkSocket } from '#host/sys/netlink.ts';
import { attribute, concat, parseAttributes, u32Attribute, u32Of } from './attributes.ts';
import { flags, messageType } from './rtnetlink.ts';

const RTA_DST = 1;
const RTA_OIF = 4;
const RTA_GATEWAY = 5;
const RTA_PREFSRC = 7;
const RT_TABLE_MAIN = 254;
const RTPROT_BOOT = 3;
const RT_SCOPE_UNIVERSE = 0;
const RT_SCOPE_LINK = 253;
const RTA_PRIORITY = 6;
const RTN_UNICAST = 1;
const addressFamily = { 4: 2, 6: 10 } as const;

/** rtmsg. */
function routeHeader(family: number, destinationLength: number, scope: number): Uint8Array {
  return Uint8Array.of(family, destinationLength, 0, 0, RT_TABLE_MAIN, RTPROT_BOOT, scope, RTN_UNICAST, 0, 0, 0, 0);
}

/** Sends everything without a closer route to this gateway, or out by this link; replaces the default route that was there. */
export function setDefaultRoute(socket: NetlinkSocket, family: 4 | 6, gateway: IpAddress | undefined, link: number): void {
  addRoute(socket, { family, value: 0n, length: 0 }, gateway, link);
}

/** A way to a network, by a gateway or on the link itself; replaces the one that was there. */
export function addRoute(socket: NetlinkSocket, destination: Prefix, gateway: IpAddress | undefined, link: number): void {
  const scope = gateway === undefined && destination.family === 4 ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
  const payload = concat(
    routeHeader(addressFamily[destination.family], destination.length, scope),
    ...(destination.length === 0 ? [] : [attribute(RTA_DST, ipBytes(destination))]),
    ...(gateway === undefined ? [] : [attribute(RTA_GATEWAY, ipBytes(gateway))]),
    u32Attribute(RTA_OIF, link),
  );
  socket.request({ type: messageType.newRoute, flags: flags.put, payload }, `set the route to ${formatPrefix(destination)}`);
}

export interface Route {
  /** Undefined for a default route. */
  readonly destination: Prefix | undefined;
  readonly link: number;
  readonly family: 4 | 6;
  /** The lowest counts. */
  readonly metric: number;
}

/** The unicast routes of the main table. */
export function listRoutes(socket: NetlinkSocket): Route[] {
  return [2, 10].flatMap(family => {
    const payload = new Uint8Array(12);
    payload[0] = family;
    return socket.request({ type: messageType.getRoute, flags: flags.dump, payload }, 'list routes').flatMap(parseRoute);
  });
}

/** This host's address for what it sends there; undefined when it knows no way. */
export function sourceAddressFor(socket: NetlinkSocket, destination: IpAddress): IpAddress | undefined {
  const header = new Uint8Array(12);
  header[0] = addressFamily[destination.family];
  header[1] = destination.family === 4 ? 32 : 128;
  const payload = concat(header, attribute(RTA_DST, ipBytes(destination)));
  try {
    const [answer] = socket.request({ type: messageType.getRoute, flags: flags.change, payload }, 'find the way to a host');
    const source = answer === undefined ? undefined : parseAttributes(answer.subarray(12)).get(RTA_PREFSRC);
    return source === undefined ? undefined : ipFromBytes(source);
  } catch (err) {
    if (isErrno(err, 'ENETUNREACH', 'EHOSTUNREACH', 'EACCES', 'EINVAL')) return undefined;
    throw err;
  }
}

function parseRoute(answer: Uint8Array): Route[] {
  const length = answer[1] ?? 0;
  if (answer[4] !== RT_TABLE_MAIN || answer[7] !== RTN_UNICAST) return [];
  const found = parseAttributes(answer.subarray(12));
  const bytes = found.get(RTA_DST);
  const destination = bytes === undefined ? undefined : { ...ipFromBytes(bytes), length };
  return [
    {
      destination,
      link: u32Of(found.get(RTA_OIF)),
      family: answer[0] === addressFamily[4] ? 4 : 6,
      metric: u32Of(found.get(RTA_PRIORITY)),
    },
  ];
}
