import { isErrno } from '#base/errors.ts';
import { NetlinkSocket, netlinkFamily } from '#host/sys/netlink.ts';
import { attribute, concat, nested, parseAttributes, textAttribute, textOf, u8Attribute, u32Attribute, u32Of } from './attributes.ts';
import { flags, messageType } from './rtnetlink.ts';

const IFLA_ADDRESS = 1;
const IFLA_IFNAME = 3;
const IFLA_MTU = 4;
const IFLA_MASTER = 10;
const IFLA_PROTINFO = 12;
const IFLA_LINKINFO = 18;
const IFLA_AF_SPEC = 26;
const IFLA_NET_NS_FD = 28;
const IFLA_INFO_KIND = 1;
const IFLA_INFO_DATA = 2;
const VETH_INFO_PEER = 1;
const IFLA_INET6_ADDR_GEN_MODE = 8;
const IFLA_BRPORT_MODE = 4;
const IFLA_BRPORT_ISOLATED = 33;
const ADDR_GEN_MODE_NONE = 1;
const AF_INET6 = 10;
const AF_BRIDGE = 7;
const IFF_UP = 1;
const NLA_F_NESTED = 0x8000;

export interface Link {
  readonly index: number;
  readonly name: string;
  readonly up: boolean;
  readonly mtu: number;
  readonly mac: string;
  /** Index of the bridge it is a port of; 0 for none. */
  readonly master: number;
  /** Driver: `bridge`, `veth`; empty for hardware. */
  readonly kind: string;
  /** Index of the other end of a pair, or of the interface it is on; 0 for none. */
  readonly other: number;
}

export interface VethPair {
  readonly hostName: string;
  /** Index of the bridge that the host end becomes a port of. */
  readonly bridge: number;
  readonly mtu: number;
  /** Open descriptor of the namespace that gets the other end. */
  readonly peerNamespace: number;
  readonly peerName: string;
  readonly peerMac: string;
}

/** Attributes of a link that every kind has (linux/if_link.h). */
export const linkAttribute = {
  address: IFLA_ADDRESS,
  name: IFLA_IFNAME,
  mtu: IFLA_MTU,
  parent: 5,
  master: IFLA_MASTER,
  info: IFLA_LINKINFO,
  infoKind: IFLA_INFO_KIND,
  infoData: IFLA_INFO_DATA,
  namespace: IFLA_NET_NS_FD,
} as const;

/** ifinfomsg. */
export function linkHeader(options: { readonly family?: number; readonly index?: number; readonly up?: boolean }): Uint8Array {
  const bytes = new Uint8Array(16);
  const view = new DataView(bytes.buffer);
  view.setUint8(0, options.family ?? 0);
  view.setInt32(4, options.index ?? 0, true);
  if (options.up !== undefined) {
    view.setUint32(8, options.up ? IFF_UP : 0, true);
    view.setUint32(12, IFF_UP, true);
  }
  return bytes;
}

/** Host ends need no address of their own: without one the kernel sends no discovery traffic for them. */
const noLinkLocal = nested(
  IFLA_AF_SPEC | NLA_F_NESTED,
  nested(AF_INET6 | NLA_F_NESTED, u8Attribute(IFLA_INET6_ADDR_GEN_MODE, ADDR_GEN_MODE_NONE)),
);

export function addBridge(socket: NetlinkSocket, name: string, options: { readonly mtu: number; readonly mac: string }): void {
  const payload = concat(
    linkHeader({ up: true }),
    textAttribute(IFLA_IFNAME, name),
    u32Attribute(IFLA_MTU, options.mtu),
    attribute(IFLA_ADDRESS, macBytes(options.mac)),
    nested(IFLA_LINKINFO | NLA_F_NESTED, textAttribute(IFLA_INFO_KIND, 'bridge')),
  );
  socket.request({ type: messageType.newLink, flags: flags.create, payload }, `add bridge ${name}`);
}

/** Makes both ends at once, each in its namespace; the host end is a port of the bridge already. Both are down: the kernel refuses to make an end up before its peer is. */
export function addVeth(socket: NetlinkSocket, pair: VethPair): void {
  const peer = concat(
    linkHeader({}),
    textAttribute(IFLA_IFNAME, pair.peerName),
    u32Attribute(IFLA_MTU, pair.mtu),
    attribute(IFLA_ADDRESS, macBytes(pair.peerMac)),
    u32Attribute(IFLA_NET_NS_FD, pair.peerNamespace),
  );
  const payload = concat(
    linkHeader({}),
    textAttribute(IFLA_IFNAME, pair.hostName),
    u32Attribute(IFLA_MTU, pair.mtu),
    u32Attribute(IFLA_MASTER, pair.bridge),
    nested(
      IFLA_LINKINFO | NLA_F_NESTED,
      textAttribute(IFLA_INFO_KIND, 'veth'),
      nested(IFLA_INFO_DATA | NLA_F_NESTED, nested(VETH_INFO_PEER | NLA_F_NESTED, peer)),
    ),
  );
  socket.request({ type: messageType.newLink, flags: flags.create, payload }, `add veth ${pair.hostName}`);
}

/** `hairpin`: frames may leave through the port they came in by. `isolated`: ports that are talk to the bridge only, not to each other. */
export function setBridgePort(socket: NetlinkSocket, index: number, port: { readonly hairpin: boolean; readonly isolated: boolean }): void {
  const payload = concat(
    linkHeader({ family: AF_BRIDGE, index }),
    nested(
      IFLA_PROTINFO | NLA_F_NESTED,
      u8Attribute(IFLA_BRPORT_MODE, port.hairpin ? 1 : 0),
      u8Attribute(IFLA_BRPORT_ISOLATED, port.isolated ? 1 : 0),
    ),
  );
  socket.request({ type: messageType.setLink, flags: flags.change, payload }, `set bridge port ${String(index)}`);
}

export interface LinkChange {
  readonly up?: boolean;
  readonly mtu?: number;
  /** Index of the bridge it becomes a port of. */
  readonly master?: number;
  /** Only of one that is down. */
  readonly name?: string;
  readonly mac?: string;
  /** Open descriptor of the namespace it moves to. */
  readonly namespace?: number;
}

export function setLink(socket: NetlinkSocket, index: number, change: LinkChange): void {
  const payload = concat(
    linkHeader({ index, ...(change.up === undefined ? {} : { up: change.up }) }),
    ...(change.mtu === undefined ? [] : [u32Attribute(IFLA_MTU, change.mtu)]),
    ...(change.master === undefined ? [] : [u32Attribute(IFLA_MASTER, change.master)]),
    ...(change.name === undefined ? [] : [textAttribute(IFLA_IFNAME, change.name)]),
    ...(change.mac === undefined ? [] : [attribute(IFLA_ADDRESS, macBytes(change.mac))]),
    ...(change.namespace === undefined ? [] : [u32Attribute(IFLA_NET_NS_FD, change.namespace)]),
  );
  socket.request({ type: messageType.newLink, flags: flags.change, payload }, `change link ${String(index)}`);
}

/** Before a link goes up: it makes no IPv6 address of its own and sends no discovery traffic for one. */
export function withoutLinkLocal(socket: NetlinkSocket, index: number): void {
  const payload = concat(linkHeader({ index }), noLinkLocal);
  socket.request({ type: messageType.newLink, flags: flags.change, payload }, `change link ${String(index)}`);
}

/** Waits for a grace period of the kernel, tens of milliseconds, on another thread. One that has gone meanwhile is fine. */
export async function deleteLink(index: number, name: string, namespacePath?: string): Promise<void> {
  using socket = new NetlinkSocket(netlinkFamily.route, namespacePath);
  try {
    await socket.requestAside({ type: messageType.deleteLink, flags: flags.change, payload: linkHeader({ index }) }, `delete link ${name}`);
  } catch (err) {
    if (!isErrno(err, 'ENODEV')) throw err;
  }
}

/** Rejects with ENODEV when there is none of that name. */
export function getLink(socket: NetlinkSocket, name: string): Link {
  const payload = concat(linkHeader({}), textAttribute(IFLA_IFNAME, name));
  const [answer] = socket.request({ type: messageType.getLink, flags: flags.change, payload }, `find link ${name}`);
  if (answer === undefined) throw new Error(`the kernel gave no answer about link ${name}`);
  return parseLink(answer);
}

/** Undefined when there is none of that name. */
export function findLink(socket: NetlinkSocket, name: string): Link | undefined {
  try {
    return getLink(socket, name);
  } catch (err) {
    if (isErrno(err, 'ENODEV')) return undefined;
    throw err;
  }
}

/** Makes the kernel look at a link: whether it can carry packets is told to it late otherwise. Not there is fine. */
export function lookAtLink(socket: NetlinkSocket, index: number): void {
  try {
    socket.request({ type: messageType.getLink, flags: flags.change, payload: linkHeader({ index }) }, `find link ${String(index)}`);
  } catch (err) {
    if (!isErrno(err, 'ENODEV')) throw err;
  }
}

export function listLinks(socket: NetlinkSocket): Link[] {
  return socket.request({ type: messageType.getLink, flags: flags.dump, payload: linkHeader({}) }, 'list links').map(parseLink);
}

export function parseLink(answer: Uint8Array): Link {
  const view = new DataView(answer.buffer, answer.byteOffset, answer.length);
  const found = parseAttributes(answer.subarray(16));
  const info = found.get(IFLA_LINKINFO);
  return {
    index: view.getInt32(4, true),
    name: textOf(found.get(IFLA_IFNAME)),
    up: (view.getUint32(8, true) & IFF_UP) !== 0,
    mtu: u32Of(found.get(IFLA_MTU)),
    mac: macText(found.get(IFLA_ADDRESS) ?? new Uint8Array()),
    master: u32Of(found.get(IFLA_MASTER)),
    kind: info === undefined ? '' : textOf(parseAttributes(info).get(IFLA_INFO_KIND)),
    other: u32Of(found.get(linkAttribute.parent)),
  };
}

export const macBytes = (text: string): Uint8Array => Uint8Array.from(text.split(':'), part => Number.parseInt(part, 16));
export const macText = (bytes: Uint8Array): string => Array.from(bytes, byte => byte.toString(16).padStart(2, '0')).join(':');
