import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { conflict, isErrno, notFound } from '#base/errors.ts';
import { failpoint } from '#base/failpoint.ts';
import { formatIp, formatPrefix, isLoopback, parseIp } from '#base/ip.ts';
import type { UserNamespace } from '#core/id-map.ts';
import type { DefaultRoute, NetworkDriver } from '#core/network-driver.ts';
import { NetlinkSocket, netlinkFamily } from '#host/sys/netlink.ts';
import { createNamespace, listNamespaces, nameNamespace, removeNamespace, runInNamespace } from '#host/sys/netns.ts';
import { holdUserNamespace } from '#host/sys/user-namespace.ts';
import { addAddress, deleteAddress, type InterfaceAddress, listAddresses } from './address.ts';
import { attachInterface, interfaceAddress, supported } from './container-interface.ts';
import { checkEncryption, putEncryption, removeEncryption } from './encryption.ts';
import { putPeers } from './forwarding.ts';
import { addBridge, deleteLink, findLink, getLink, listLinks, setBridgePort, setLink } from './link.ts';
import { addDummy, addVlan, addVxlan } from './link-kinds.ts';
import { giveBack, takeIn } from './moved-interface.ts';
import { listRoutes, setDefaultRoute } from './route.ts';

const loopbackIndex = 1;

/** Where named namespaces live, and the user namespaces that own some of them; neither must survive a boot. */
export interface NamespaceDirectories {
  readonly namespaceDir: string;
  readonly userNamespaceDir: string;
}

export function createNetworkDriver({ namespaceDir, userNamespaceDir }: NamespaceDirectories): NetworkDriver & Disposable {
  const host = new NetlinkSocket(netlinkFamily.route);
  const pathOf = (key: string): string => join(namespaceDir, key);
  const ownerOf = (key: string): string => join(userNamespaceDir, key);

  const removeLink = async (name: string): Promise<void> => {
    const link = findLink(host, name);
    if (link !== undefined) await deleteLink(link.index, name);
  };

  const driver: NetworkDriver & Disposable = {
    putBridge(bridge) {
      const existing = findLink(host, bridge.name);
      if (existing === undefined) addBridge(host, bridge.name, bridge);
      else if (existing.kind !== 'bridge') {
        throw conflict(`The interface ${bridge.name} exists and is not a bridge; choose another bridge name`);
      }
      const link = getLink(host, bridge.name);
      if (!link.up || link.mtu !== bridge.mtu)
        setLink(host, link.index, { up: true, ...(bridge.isAdopted === true ? {} : { mtu: bridge.mtu }) });
      putAddresses(host, link.index, bridge.addresses, bridge.keepsAddresses);
      // Lets what this host sends from 127.0.0.1 to a published port go out to the container.
      putSysctl(`net/ipv4/conf/${bridge.name}/route_localnet`, '1');
      // The host answers for the neighbours, at once, and does not tell them of the shorter way that they cannot take.
      putSysctl(`net/ipv4/conf/${bridge.name}/proxy_arp_pvlan`, bridge.routesNeighbours ? '1' : '0');
      if (bridge.routesNeighbours) {
        putSysctl(`net/ipv4/neigh/${bridge.name}/proxy_delay`, '0');
        putSysctl(`net/ipv4/conf/${bridge.name}/send_redirects`, '0');
      }
      return existing === undefined ? 'made' : existing.up ? 'found' : 'raised';
    },
    putParent({ name, made }) {
      const existing = findLink(host, name);
      if (existing !== undefined) {
        if (!existing.up) setLink(host, existing.index, { up: true });
        return false;
      }
      if (made === undefined) throw notFound(`this host has no interface ${name} any more, which the network is on`);
      if (made.kind === 'dummy') {
        supported('dummy', () => addDummy(host, name));
        return true;
      }
      const on = findLink(host, made.on);
      if (on === undefined) throw notFound(`this host has no interface ${made.on} any more, of which the network's VLAN ${name} is made`);
      supported('8021q', () => addVlan(host, name, on.index, made.vlan));
      return true;
    },
    putTunnel(tunnel) {
      const bridge = getLink(host, tunnel.bridge).index;
      const existing = findLink(host, tunnel.name);
      if (existing !== undefined) {
        setLink(host, existing.index, { up: true, mtu: tunnel.mtu, master: bridge });
        return false;
      }
      try {
        supported('vxlan', () => addVxlan(host, tunnel, bridge));
        return true;
      } catch (err) {
        if (!isErrno(err, 'EEXIST')) throw err;
        throw conflict(`another interface of this host has the VXLAN number ${String(tunnel.vni)}: choose another`, { cause: err });
      }
    },
    checkEncryption,
    putEncryption: encryption => putEncryption(host, encryption),
    removeEncryption,
    putTunnelPeers: (name, peers) => putPeers(host, getLink(host, name).index, peers),
    bridgeAddresses(name) {
      const link = findLink(host, name);
      if (link?.kind !== 'bridge') return undefined;
      const own = listAddresses(host).filter(one => one.link === link.index && !isLinkLocal(one));
      return own.map(({ address, length }) => `${formatIp(address)}/${String(length)}`);
    },
    releaseBridge(name, addresses) {
      const link = findLink(host, name);
      if (link === undefined) return;
      const present = listAddresses(host).filter(one => one.link === link.index);
      for (const one of present) if (addresses.includes(`${formatIp(one.address)}/${String(one.length)}`)) deleteAddress(host, one);
    },
    async removeBridge(name) {
      const link = findLink(host, name);
      if (link === undefined || link.kind !== 'bridge') return false;
      await deleteLink(link.index, name);
      return true;
    },
    bridgePorts(name) {
      const links = listLinks(host);
      const bridge = links.find(link => link.name === name);
      return bridge === undefined ? [] : links.filter(link => link.master === bridge.index).map(link => link.name);
    },
    bridges: () =>
      listLinks(host)
        .filter(({ kind }) => kind === 'bridge')
        .map(({ name }) => name),
    linkNames: () => listLinks(host).map(link => link.name),
    async createSandbox(key, interfaces, routes, owner) {
      const path = pathOf(key);
      driver.removeSandbox(key);
      let opened: NetlinkSocket | undefined;
      const prepare = (): void => {
        opened = new NetlinkSocket(netlinkFamily.route);
        // An interface that was given no IPv6 address must not make one up or take one from a neighbour's advertisement.
        putSysctl('net/ipv6/conf/default/disable_ipv6', interfaces.some(hasIpv6) ? '0' : '1');
        putSysctl('net/ipv6/conf/default/accept_ra', '0');
      };
      try {
        if (owner === undefined) createNamespace(path, prepare);
        else {
          await nameOwnedNamespace(path, ownerOf(key), owner);
          runInNamespace(path, prepare);
        }
        if (opened === undefined) throw new Error(`no socket into the namespace ${path}`);
        setLink(opened, loopbackIndex, { up: true });
        for (const added of interfaces) attachInterface(host, opened, path, added);
        putRoutes(opened, routes);
        return owner === undefined ? { path } : { path, userNamespace: ownerOf(key) };
      } catch (err) {
        driver.removeSandbox(key);
        throw err;
      } finally {
        opened?.[Symbol.dispose]();
      }
    },
    removeSandbox(key) {
      const path = pathOf(key);
      const hadOwner = removeNamespace(ownerOf(key));
      if (!existsSync(path)) return hadOwner;
      try {
        // Another process may keep the namespace alive for a while: its addresses must be free for others now.
        using inside = new NetlinkSocket(netlinkFamily.route, path);
        for (const address of listAddresses(inside)) if (address.link !== loopbackIndex) deleteAddress(inside, address);
      } catch (err) {
        // A name whose namespace is already gone (a kill between its file and its mount) is not a namespace: EINVAL.
        if (!isErrno(err, 'EINVAL', 'ENOENT', 'EADDRNOTAVAIL')) throw err;
      }
      return removeNamespace(path);
    },
    sandboxPath: pathOf,
    sandboxes: () => [...new Set([...listNamespaces(namespaceDir), ...listNamespaces(userNamespaceDir)])],
    addInterface(key, added) {
      const path = pathOf(key);
      if (hasIpv6(added)) runInNamespace(path, () => putSysctl('net/ipv6/conf/default/disable_ipv6', '0'));
      using inside = new NetlinkSocket(netlinkFamily.route, path);
      attachInterface(host, inside, path, added);
    },
    async removeInterface(key, { hostName, name }) {
      if (hostName !== undefined) return removeLink(hostName);
      if (!existsSync(pathOf(key))) return;
      using inside = new NetlinkSocket(netlinkFamily.route, pathOf(key));
      const link = findLink(inside, name);
      if (link !== undefined) await deleteLink(link.index, name, pathOf(key));
    },
    takeIn(key, taken) {
      const path = pathOf(key);
      if (hasIpv6(taken)) runInNamespace(path, () => putSysctl('net/ipv6/conf/default/disable_ipv6', '0'));
      return takeIn(host, path, taken);
    },
    giveBack: (key, link) => giveBack(host, pathOf(key), link),
    removeLink,
    mendInterface(key, wanted) {
      if (wanted.kind !== 'bridged') {
        using inside = new NetlinkSocket(netlinkFamily.route, pathOf(key));
        if (findLink(inside, wanted.name) !== undefined) return false;
        driver.addInterface(key, wanted);
        return true;
      }
      const outer = findLink(host, wanted.hostName);
      if (outer === undefined) {
        driver.addInterface(key, wanted);
        return true;
      }
      const bridge = getLink(host, wanted.bridge).index;
      if (outer.master === bridge && outer.up) return false;
      setLink(host, outer.index, { up: true, master: bridge });
      setBridgePort(host, outer.index, wanted);
      return true;
    },
    setMtu(key, changed) {
      if (changed.kind !== 'bridged') return;
      using inside = new NetlinkSocket(netlinkFamily.route, pathOf(key));
      for (const [socket, name] of [
        [host, changed.hostName],
        [inside, changed.name],
      ] as const) {
        const link = findLink(socket, name);
        if (link !== undefined && link.mtu !== changed.mtu) setLink(socket, link.index, { mtu: changed.mtu });
      }
    },
    setDefaultRoutes(key, routes) {
      using inside = new NetlinkSocket(netlinkFamily.route, pathOf(key));
      putRoutes(inside, routes);
    },
    routedNetworks(exceptLinks) {
      const except = new Set(listLinks(host).flatMap(link => (exceptLinks.has(link.name) ? [link.index] : [])));
      return listRoutes(host).flatMap(route =>
        route.destination === undefined || except.has(route.link) ? [] : [formatPrefix(route.destination)],
      );
    },
    egress() {
      const [links, routes] = [listLinks(host), listRoutes(host)];
      const ways = ([4, 6] as const).flatMap(family => {
        const [first] = routes
          .filter(one => one.destination === undefined && one.family === family)
          .toSorted((a, b) => a.metric - b.metric);
        return links.find(({ index }) => index === first?.link) ?? [];
      });
      const [narrowest] = ways.toSorted((a, b) => a.mtu - b.mtu);
      return narrowest === undefined ? undefined : { name: narrowest.name, mtu: narrowest.mtu };
    },
    egressAddress() {
      const name = driver.egress()?.name;
      const index = name === undefined ? undefined : findLink(host, name)?.index;
      const found = listAddresses(host).filter(one => one.link === index && !isLinkLocal(one));
      const address = (found.find(one => one.address.family === 4) ?? found[0])?.address;
      return address === undefined ? undefined : formatIp(address);
    },
    enableForwarding(family) {
      const name = family === 4 ? 'net/ipv4/ip_forward' : 'net/ipv6/conf/all/forwarding';
      const kept = family === 6 ? keepRouterAdvertisements() : [];
      return [...kept, ...(putSysctl(name, '1') ? [`${name.replaceAll('/', '.')}=1`] : [])];
    },
    hostAddresses: () =>
      listAddresses(host)
        .filter(({ address }) => !isLoopback(address))
        .map(({ address }) => formatIp(address)),
    [Symbol.dispose]: () => host[Symbol.dispose](),
  };
  return driver;
}

/** Makes a network namespace in a user namespace, and names both. */
async function nameOwnedNamespace(path: string, ownerPath: string, owner: UserNamespace): Promise<void> {
  using holder = await holdUserNamespace(owner, { network: true });
  const namespaces = `/proc/${String(holder.pid)}/ns`;
  nameNamespace(`${namespaces}/user`, ownerPath);
  failpoint('network.setup.owned');
  nameNamespace(`${namespaces}/net`, path);
}

const hasIpv6 = (added: { readonly addresses: readonly string[] }): boolean => added.addresses.some(address => address.includes(':'));

/** The interface has these addresses and, unless it keeps them, no others but for link-local ones. */
function putAddresses(socket: NetlinkSocket, link: number, wanted: readonly string[], keeps: boolean): void {
  const present = listAddresses(socket).filter(address => address.link === link && !isLinkLocal(address));
  const key = ({ address, length }: Omit<InterfaceAddress, 'link'>): string => `${formatIp(address)}/${String(length)}`;
  const wantedAddresses = wanted.map(interfaceAddress);
  const wantedKeys = new Set(wantedAddresses.map(key));
  const presentKeys = new Set(present.map(key));
  if (!keeps) for (const address of present) if (!wantedKeys.has(key(address))) deleteAddress(socket, address);
  for (const address of wantedAddresses) if (!presentKeys.has(key(address))) addAddress(socket, { link, ...address });
}

const isLinkLocal = ({ address }: InterfaceAddress): boolean => address.family === 6 && address.value >> 118n === 0x3fan;

function putRoutes(inside: NetlinkSocket, routes: readonly DefaultRoute[]): void {
  for (const { family, link, gateway: text } of routes) {
    const gateway = text === undefined ? undefined : parseIp(text);
    if (text !== undefined && gateway === undefined) throw new Error(`not a gateway address: ${text}`);
    setDefaultRoute(inside, family, gateway, getLink(inside, link).index);
  }
}

/** A host that forwards IPv6 stops listening to its router unless told otherwise, and would lose its own address and route. */
function keepRouterAdvertisements(): string[] {
  if (!existsSync('/proc/sys/net/ipv6/conf') || readFileSync('/proc/sys/net/ipv6/conf/all/forwarding', 'utf8').trim() === '1') return [];
  return readdirSync('/proc/sys/net/ipv6/conf').flatMap(link => {
    if (link === 'all' || link === 'default' || link === 'lo') return [];
    const path = `/proc/sys/net/ipv6/conf/${link}/accept_ra`;
    if (readFileSync(path, 'utf8').trim() !== '1') return [];
    writeFileSync(path, '2');
    return [`net.ipv6.conf.${link}.accept_ra=2`];
  });
}

/** Writes a kernel setting of the thread's network namespace if it differs; true when it did. IPv6 may not be there at all. */
function putSysctl(name: string, value: string): boolean {
  const path = `/proc/sys/${name}`;
  try {
    if (readFileSync(path, 'utf8').trim() === value) return false;
    writeFileSync(path, value);
    return true;
  } catch (err) {
    if (isErrno(err, 'ENOENT')) return false;
    throw err;
  }
}
