import { ipBytes, parseIp } from '#base/ip.ts';
import type { IpvlanInterface, MacvlanInterface, TunnelLink } from '#core/network-driver.ts';
import type { NetlinkSocket } from '#host/sys/netlink.ts';
import { attribute, concat, nested, textAttribute, u8Attribute, u16Attribute, u32Attribute } from './attributes.ts';
import { linkAttribute as attr, linkHeader, macBytes } from './link.ts';
import { flags, messageType } from './rtnetlink.ts';

const NLA_F_NESTED = 0x8000;
/** Attributes of each kind of link, from linux/if_link.h. */
const IFLA_MACVLAN_MODE = 1;
const IFLA_IPVLAN_MODE = 1;
const IFLA_IPVLAN_FLAGS = 2;
const IFLA_VLAN_ID = 1;
const IFLA_VXLAN_ID = 1;
const IFLA_VXLAN_LOCAL = 4;
const IFLA_VXLAN_LEARNING = 7;
const IFLA_VXLAN_PORT = 15;
const IFLA_VXLAN_GROUP6 = 16;
const IFLA_VXLAN_LOCAL6 = 17;

const macvlanModes = { private: 1, vepa: 2, bridge: 4, passthru: 8 } as const;
const ipvlanModes = { l2: 0, l3: 1, l3s: 2 } as const;
const ipvlanFlags = { bridge: 0, private: 1, vepa: 2 } as const;

/** Where a link is made that shares an interface of the host. */
export interface Placement {
  /** A name that neither namespace has; it is renamed inside. */
  readonly name: string;
  /** Index of the interface of the host. */
  readonly parent: number;
  /** Open descriptor of the namespace it is made in. */
  readonly namespace: number;
}

export function addMacvlan(socket: NetlinkSocket, placement: Placement, { mode, mac, mtu }: MacvlanInterface): void {
  const data = u32Attribute(IFLA_MACVLAN_MODE, macvlanModes[mode]);
  addShared(socket, placement, 'macvlan', data, mtu, attribute(attr.address, macBytes(mac)));
}

export function addIpvlan(socket: NetlinkSocket, placement: Placement, { mode, flag, mtu }: IpvlanInterface): void {
  const data = concat(u16Attribute(IFLA_IPVLAN_MODE, ipvlanModes[mode]), u16Attribute(IFLA_IPVLAN_FLAGS, ipvlanFlags[flag]));
  addShared(socket, placement, 'ipvlan', data, mtu);
}

function addShared(
  socket: NetlinkSocket,
  { name, parent, namespace }: Placement,
  kind: string,
  data: Uint8Array,
  mtu: number | undefined,
  ...more: readonly Uint8Array[]
): void {
  const payload = concat(
    linkHeader({}),
    textAttribute(attr.name, name),
    u32Attribute(attr.parent, parent),
    u32Attribute(attr.namespace, namespace),
    ...(mtu === undefined ? [] : [u32Attribute(attr.mtu, mtu)]),
    ...more,
    linkInfo(kind, data),
  );
  socket.request({ type: messageType.newLink, flags: flags.create, payload }, `add ${kind} interface`);
}

/** Frames with a tag of one virtual network (IEEE 802.1Q) of the link of another interface. */
export function addVlan(socket: NetlinkSocket, name: string, parent: number, vlan: number): void {
  const payload = concat(
    linkHeader({ up: true }),
    textAttribute(attr.name, name),
    u32Attribute(attr.parent, parent),
    linkInfo('vlan', u16Attribute(IFLA_VLAN_ID, vlan)),
  );
  socket.request({ type: messageType.newLink, flags: flags.create, payload }, `add VLAN ${name}`);
}

export function addDummy(socket: NetlinkSocket, name: string): void {
  const payload = concat(linkHeader({ up: true }), textAttribute(attr.name, name), linkInfo('dummy', new Uint8Array()));
  socket.request({ type: messageType.newLink, flags: flags.create, payload }, `add dummy interface ${name}`);
}

/** A port of the bridge from the beginning. It learns by which host an address is. */
export function addVxlan(socket: NetlinkSocket, tunnel: TunnelLink, bridge: number): void {
  const local = tunnel.local === undefined ? undefined : parseIp(tunnel.local);
  const data = concat(
    u32Attribute(IFLA_VXLAN_ID, tunnel.vni),
    u8Attribute(IFLA_VXLAN_LEARNING, 1),
    attribute(IFLA_VXLAN_PORT, Uint8Array.of(tunnel.port >> 8, tunnel.port & 0xff)),
    // Without an address of its own: hosts of IPv6 nevertheless.
    ...(local === undefined && tunnel.family === 6 ? [attribute(IFLA_VXLAN_GROUP6, new Uint8Array(16))] : []),
    ...(local === undefined ? [] : [attribute(local.family === 4 ? IFLA_VXLAN_LOCAL : IFLA_VXLAN_LOCAL6, ipBytes(local))]),
  );
  const payload = concat(
    linkHeader({ up: true }),
    textAttribute(attr.name, tunnel.name),
    u32Attribute(attr.mtu, tunnel.mtu),
    u32Attribute(attr.master, bridge),
    linkInfo('vxlan', data),
  );
  socket.request({ type: messageType.newLink, flags: flags.create, payload }, `add VXLAN interface ${tunnel.name}`);
}

const linkInfo = (kind: string, data: Uint8Array): Uint8Array =>
  nested(attr.info | NLA_F_NESTED, textAttribute(attr.infoKind, kind), attribute(attr.infoData | NLA_F_NESTED, data));
