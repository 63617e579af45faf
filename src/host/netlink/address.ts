import { type IpAddress, ipBytes, ipFromBytes, type Prefix, prefixOf } from '#base/ip.ts';
import type { NetlinkSocket } from '#host/sys/netlink.ts';
import { attribute, concat, parseAttributes, u32Attribute, u32Of } from './attributes.ts';
import { flags, messageType } from './rtnetlink.ts';

const IFA_ADDRESS = 1;
const IFA_LOCAL = 2;
const IFA_BROADCAST = 4;
const IFA_FLAGS = 8;
const IFA_F_NODAD = 0x02;
const addressFamily = { 4: 2, 6: 10 } as const;

export interface InterfaceAddress {
  readonly link: number;
  readonly address: IpAddress;
  readonly length: number;
}

/** ifaddrmsg. */
function addressHeader(family: number, length: number, link: number): Uint8Array {
  const bytes = new Uint8Array(8);
  const view = new DataView(bytes.buffer);
  view.setUint8(0, family);
  view.setUint8(1, length);
  view.setUint32(4, link, true);
  return bytes;
}

/** Addresses come from our own management, so IPv6 skips the search for duplicates and is usable at once. */
export function addAddress(socket: NetlinkSocket, { link, address, length }: InterfaceAddress): void {
  const bytes = ipBytes(address);
  const payload = concat(
    addressHeader(addressFamily[address.family], length, link),
    attribute(IFA_LOCAL, bytes),
    attribute(IFA_ADDRESS, bytes),
    ...(address.family === 4 && length < 31 ? [attribute(IFA_BROADCAST, broadcastOf(address, length))] : []),
    ...(address.family === 6 ? [u32Attribute(IFA_FLAGS, IFA_F_NODAD)] : []),
  );
  socket.request({ type: messageType.newAddress, flags: flags.put, payload }, `add an address to link ${String(link)}`);
}

export function deleteAddress(socket: NetlinkSocket, { link, address, length }: InterfaceAddress): void {
  const payload = concat(addressHeader(addressFamily[address.family], length, link), attribute(IFA_LOCAL, ipBytes(address)));
  socket.request({ type: messageType.deleteAddress, flags: flags.change, payload }, `remove an address from link ${String(link)}`);
}

export function listAddresses(socket: NetlinkSocket): InterfaceAddress[] {
  const answers = socket.request({ type: messageType.getAddress, flags: flags.dump, payload: addressHeader(0, 0, 0) }, 'list addresses');
  return answers.flatMap(answer => {
    const found = parseAttributes(answer.subarray(8));
    const bytes = found.get(IFA_LOCAL) ?? found.get(IFA_ADDRESS);
    if (bytes === undefined || (bytes.length !== 4 && bytes.length !== 16)) return [];
    return [{ link: u32Of(answer.subarray(4, 8)), address: ipFromBytes(bytes), length: answer[1] ?? 0 }];
  });
}

/** The network an interface address is in. */
export const networkOf = ({ address, length }: InterfaceAddress): Prefix => prefixOf(address, length);

function broadcastOf(address: IpAddress, length: number): Uint8Array {
  const network = prefixOf(address, length);
  return ipBytes({ family: 4, value: network.value + (1n << BigInt(32 - length)) - 1n });
}
