import { hkdfSync } from 'node:crypto';
import { isErrno, messageOf, notImplemented } from '#base/errors.ts';
import { formatIp, type IpAddress, parseIp } from '#base/ip.ts';
import type { TunnelEncryption } from '#core/network-driver.ts';
import { NetlinkSocket, netlinkFamily } from '#host/sys/netlink.ts';
import { sourceAddressFor } from './route.ts';
import * as xfrm from './xfrm.ts';

/** How policies of ours are known among those of others. */
const passPriority = 3_120_417;
const blockPriority = passPriority + 1;
/** The upper byte of the number by which policies find their keys; the rest is the network's. */
const requestIdBase = 0x5b_00_00_00;
const smallestSpi = 256;

/** Rejects with NotImplemented when the kernel has no ESP, or none with these algorithms. Makes and removes keys that no packet uses. */
export function checkEncryption(): void {
  const loopback: IpAddress = { family: 4, value: 0x7f_00_00_01n };
  const state = stateOf(new Uint8Array(32), 0, loopback, loopback);
  ask(socket => {
    if (!xfrm.listStates(socket).some(one => xfrm.sameState(one, state))) xfrm.addState(socket, state);
    xfrm.deleteState(socket, state);
  });
}

/**
 * Makes the kernel encrypt what a tunnel sends to these hosts (ESP in transport mode, RFC 4303: AES-CBC with HMAC-SHA-256, RFC 8221), and take from them
 * what is encrypted only; nothing of the tunnel's port goes to or comes from anybody else. What is right stays: counters of keys go on.
 */
export function putEncryption(route: NetlinkSocket, encryption: TunnelEncryption): boolean {
  const { vni, port, keys } = encryption;
  const requestId = requestIdBase + vni;
  const pairs = pairsOf(route, encryption);
  const outgoing = pairs.map(({ here, there }) => keys.slice(0, 1).map(key => stateOf(key, requestId, here, there)));
  const incoming = pairs.flatMap(({ here, there }) => keys.map(key => stateOf(key, requestId, there, here)));
  const states = [...outgoing.flat(), ...incoming];
  const policies = [
    ...blocks(port),
    ...pairs.flatMap(({ here, there }, index) => passes(port, requestId, here, there, outgoing[index]?.[0])),
  ];
  return ask(socket => {
    const [knownPolicies, knownStates] = [ownPolicies(socket, port), xfrm.listStates(socket).filter(one => one.requestId === requestId)];
    const missingPolicies = policies.filter(policy => !knownPolicies.some(one => xfrm.samePolicy(one, policy)));
    const missingStates = states.filter(state => !knownStates.some(one => xfrm.sameState(one, state)));
    // Blocks come first and stay: there is no moment in which something passes that is not encrypted.
    for (const block of missingPolicies.filter(one => one.blocks)) xfrm.putPolicy(socket, block);
    for (const state of missingStates) xfrm.addState(socket, state);
    for (const pass of missingPolicies.filter(one => !one.blocks)) xfrm.putPolicy(socket, pass);
    for (const known of knownPolicies) if (!policies.some(one => xfrm.sameSelector(one, known))) xfrm.deletePolicy(socket, known);
    for (const known of knownStates) if (!states.some(one => xfrm.sameState(one, known))) xfrm.deleteState(socket, known);
    return missingPolicies.length + missingStates.length > 0;
  });
}

/** None there is fine. */
export function removeEncryption({ vni, port }: { readonly vni: number; readonly port: number }): void {
  ask(socket => {
    for (const state of xfrm.listStates(socket)) if (state.requestId === requestIdBase + vni) xfrm.deleteState(socket, state);
    for (const policy of ownPolicies(socket, port)) xfrm.deletePolicy(socket, policy);
  });
}

const ownPolicies = (socket: NetlinkSocket, port: number): xfrm.Policy[] =>
  xfrm.listPolicies(socket).filter(one => one.port === port && (one.priority === passPriority || one.priority === blockPriority));

interface Pair {
  readonly here: IpAddress;
  readonly there: IpAddress;
}

/** A host that cannot be reached has nothing to be encrypted yet. */
function pairsOf(route: NetlinkSocket, { hosts, local }: TunnelEncryption): Pair[] {
  const own = local === undefined ? undefined : parseIp(local);
  return hosts.flatMap(text => {
    const there = parseIp(text);
    const here = there && (own ?? sourceAddressFor(route, there));
    return there === undefined || here === undefined ? [] : [{ here, there }];
  });
}

/** Every direction between two hosts has keys of its own, made from the one that they share (RFC 5869), and so a number to find them by. */
function stateOf(key: Uint8Array, requestId: number, from: IpAddress, to: IpAddress): xfrm.State {
  const info = `overlay network ${String(requestId)} from ${formatIp(from)} to ${formatIp(to)}`;
  const made = new Uint8Array(hkdfSync('sha256', key, new Uint8Array(), info, 32 + 32 + 4));
  const spi = new DataView(made.buffer).getUint32(64);
  return {
    from,
    to,
    requestId,
    spi: spi < smallestSpi ? spi + smallestSpi : spi,
    cipherKey: made.slice(0, 32),
    authenticationKey: made.slice(32, 64),
  };
}

const everybody = (family: 4 | 6): IpAddress => ({ family, value: 0n });

function blocks(port: number): xfrm.Policy[] {
  return ([4, 6] as const).flatMap(family =>
    (['in', 'out'] as const).map(direction => ({
      ...{ direction, port, from: everybody(family), to: everybody(family), priority: blockPriority, blocks: true, requestId: 0, spi: 0 },
    })),
  );
}

/** To send, the first key; to receive, any of them. */
function passes(port: number, requestId: number, here: IpAddress, there: IpAddress, sending: xfrm.State | undefined): xfrm.Policy[] {
  if (sending === undefined) return [];
  const common = { port, priority: passPriority, blocks: false, requestId };
  return [
    { ...common, direction: 'out', from: here, to: there, spi: sending.spi },
    { ...common, direction: 'in', from: there, to: here, spi: 0 },
  ];
}

function ask<T>(action: (socket: NetlinkSocket) => T): T {
  try {
    using socket = new NetlinkSocket(netlinkFamily.xfrm);
    return action(socket);
  } catch (err) {
    if (!isErrno(err, 'ENOSYS', 'EPROTONOSUPPORT', 'ENOENT', 'EOPNOTSUPP', 'ENOTSUP')) throw err;
    throw notImplemented(
      `the kernel of this host cannot encrypt overlay networks: it has no ESP with AES-CBC and HMAC-SHA-256, load or install its modules xfrm_user, esp4, esp6 and authenc (${messageOf(err)})`,
      { cause: err },
    );
  }
}
