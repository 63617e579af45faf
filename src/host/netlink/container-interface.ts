import { closeSync, existsSync, openSync, writeFileSync } from 'node:fs';
import { invalidArgument, isErrno, messageOf, notImplemented } from '#base/errors.ts';
import { parseCidr } from '#base/ip.ts';
import { newId } from '#base/id.ts';
import type { BridgedInterface, ContainerInterface, IpvlanInterface, MacvlanInterface } from '#core/network-driver.ts';
import type { NetlinkSocket } from '#host/sys/netlink.ts';
import { runInNamespace } from '#host/sys/netns.ts';
import { addAddress, type InterfaceAddress } from './address.ts';
import { addVeth, getLink, setBridgePort, setLink, withoutLinkLocal } from './link.ts';
import { addIpvlan, addMacvlan } from './link-kinds.ts';

/** Makes an interface in a namespace and takes it up with its addresses and settings. `inside`: a socket into that namespace. */
export function attachInterface(host: NetlinkSocket, inside: NetlinkSocket, namespacePath: string, added: ContainerInterface): void {
  if (added.kind === 'bridged') attachToBridge(host, inside, namespacePath, added);
  else shareParent(host, inside, namespacePath, added);
  const settings = Object.entries(added.settings);
  if (settings.length > 0) runInNamespace(namespacePath, () => settings.forEach(writeSetting));
}

function attachToBridge(host: NetlinkSocket, inside: NetlinkSocket, namespacePath: string, added: BridgedInterface): void {
  withNamespace(namespacePath, namespace => {
    const { hostName, mtu } = added;
    const bridge = getLink(host, added.bridge).index;
    addVeth(host, { hostName, bridge, mtu, peerNamespace: namespace, peerName: added.name, peerMac: added.mac });
  });
  const outer = getLink(host, added.hostName).index;
  withoutLinkLocal(host, outer);
  if (added.hairpin || added.isolated) setBridgePort(host, outer, added);
  setLink(host, outer, { up: true });
  takeUp(inside, added);
  // The kernel lets the end that went up first carry packets only when a worker of its has seen that the other is up, which may take a while
  // on a busy host: a first packet would be lost and sent again after a second. Being asked about a link makes it look at once.
  getLink(host, added.hostName);
  getLink(host, added.bridge);
}

/** Made by another name: the one it gets inside may be in use on the host. */
function shareParent(host: NetlinkSocket, inside: NetlinkSocket, namespacePath: string, added: MacvlanInterface | IpvlanInterface): void {
  const name = `vl${newId().slice(0, 12)}`;
  runInNamespace(namespacePath, () => notifySettings.forEach(path => writeFileIfThere(`/proc/sys/${path}`, '1')));
  withNamespace(namespacePath, namespace => {
    const placement = { name, parent: getLink(host, added.parent).index, namespace };
    supported(added.kind, () => (added.kind === 'macvlan' ? addMacvlan(host, placement, added) : addIpvlan(host, placement, added)));
  });
  const { index } = getLink(inside, name);
  setLink(inside, index, { name: added.name });
  takeUp(inside, added);
}

/**
 * Makes the kernel tell neighbours about an interface that goes up: others on the link may remember somebody else by its addresses. On a bridge of ours
 * nobody does, since link addresses follow from addresses, and with hundreds of containers each would hear of it.
 */
const notifySettings = ['net/ipv4/conf/default/arp_notify', 'net/ipv6/conf/default/ndisc_notify'];

/** A kernel may have no IPv6. */
function writeFileIfThere(path: string, text: string): void {
  if (existsSync(path)) writeFileSync(path, text);
}

/** Addresses come first: with them it goes up. */
function takeUp(inside: NetlinkSocket, { name, addresses }: ContainerInterface): void {
  const { index } = getLink(inside, name);
  for (const address of addresses) addAddress(inside, { link: index, ...interfaceAddress(address) });
  setLink(inside, index, { up: true });
}

/** Says which part of the kernel is missing. */
export function supported<T>(kind: string, make: () => T): T {
  try {
    return make();
  } catch (err) {
    if (!isErrno(err, 'EOPNOTSUPP', 'ENOTSUP')) throw err;
    throw notImplemented(`the kernel of this host has no ${kind} interfaces: load or install its module ${kind} (${messageOf(err)})`, {
      cause: err,
    });
  }
}

function withNamespace(path: string, action: (fd: number) => void): void {
  const fd = openSync(path, 'r');
  try {
    action(fd);
  } finally {
    closeSync(fd);
  }
}

export function interfaceAddress(text: string): Omit<InterfaceAddress, 'link'> {
  const cidr = parseCidr(text);
  if (cidr === undefined) throw new Error(`not an address with a prefix length: ${text}`);
  return { address: cidr.address, length: cidr.prefix.length };
}

export function writeSetting([path, value]: readonly [path: string, value: string]): void {
  try {
    writeFileSync(`/proc/sys/${path}`, value);
  } catch (err) {
    const name = path.replaceAll('/', '.');
    if (isErrno(err, 'ENOENT')) throw invalidArgument(`the kernel of this host has no setting ${name}`, { cause: err });
    throw invalidArgument(`the kernel does not take ${JSON.stringify(value)} for ${name}: ${messageOf(err)}`, { cause: err });
  }
}
