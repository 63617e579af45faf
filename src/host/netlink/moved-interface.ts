import { closeSync, openSync } from 'node:fs';
import { isErrno, notFound } from '#base/errors.ts';
import { newId } from '#base/id.ts';
import { parseCidr, parseIp } from '#base/ip.ts';
import type { TakenInterface } from '#core/network-driver.ts';
import { NetlinkSocket, netlinkFamily } from '#host/sys/netlink.ts';
import { runInNamespace } from '#host/sys/netns.ts';
import { addAddress } from './address.ts';
import { interfaceAddress, writeSetting } from './container-interface.ts';
import { findLink, getLink, lookAtLink, setLink } from './link.ts';
import { addRoute } from './route.ts';

/** This thread's own namespace; it is another one only while `runInNamespace` runs. */
const hostNamespace = '/proc/thread-self/ns/net';

/** Moves an interface of the host into a namespace, and gives it its name, addresses and routes there. Returns its link address. */
export function takeIn(host: NetlinkSocket, namespacePath: string, taken: TakenInterface): { readonly mac: string } {
  const outer = findLink(host, taken.hostName);
  if (outer === undefined) throw notFound(`this host has no interface ${taken.hostName}`);
  const moved = movedName(outer.index);
  move(host, outer.index, namespacePath);
  try {
    const settled = settle(namespacePath, moved, taken);
    // As when we make the pair: a first packet would be lost.
    if (outer.other !== 0) lookAtLink(host, outer.other);
    return settled;
  } catch (err) {
    for (const name of [moved, taken.name]) giveBack(host, namespacePath, { name, hostName: taken.hostName });
    throw err;
  }
}

function settle(namespacePath: string, moved: string, taken: TakenInterface): { readonly mac: string } {
  using inside = new NetlinkSocket(netlinkFamily.route, namespacePath);
  const { index } = getLink(inside, moved);
  setLink(inside, index, { name: taken.name, ...(taken.mac === '' ? {} : { mac: taken.mac }) });
  for (const address of taken.addresses) addAddress(inside, { link: index, ...interfaceAddress(address) });
  setLink(inside, index, { up: true });
  for (const { destination, nextHop } of taken.routes) {
    const prefix = parseCidr(destination)?.prefix;
    if (prefix !== undefined) addRoute(inside, prefix, nextHop === undefined ? undefined : parseIp(nextHop), index);
  }
  const settings = Object.entries(taken.settings);
  if (settings.length > 0) runInNamespace(namespacePath, () => settings.forEach(writeSetting));
  return { mac: getLink(inside, taken.name).mac };
}

/** Moves an interface back to the host, under the name that it had there if that is free. Not there is fine. */
export function giveBack(
  host: NetlinkSocket,
  namespacePath: string,
  { name, hostName }: { readonly name: string; readonly hostName: string },
): void {
  let index: number;
  try {
    using inside = new NetlinkSocket(netlinkFamily.route, namespacePath);
    const link = findLink(inside, name);
    if (link === undefined) return;
    index = link.index;
    move(inside, index, hostNamespace);
  } catch (err) {
    // The name of a namespace that is gone.
    if (isErrno(err, 'ENOENT', 'EINVAL')) return;
    throw err;
  }
  const { index: outer } = getLink(host, movedName(index));
  setLink(host, outer, { name: hostName });
}

/** On the way it has a name that neither side has. */
const ownNames = newId().slice(0, 4);
const movedName = (index: number): string => `mv${ownNames}${index.toString(36)}`;

function move(socket: NetlinkSocket, index: number, to: string): void {
  setLink(socket, index, { up: false });
  setLink(socket, index, { name: movedName(index) });
  const namespace = openSync(to, 'r');
  try {
    setLink(socket, index, { namespace });
  } finally {
    closeSync(namespace);
  }
}
