import { closeSync } from 'node:fs';
import { type IpAddress, ipBytes, ipFromBytes, parseIp } from '#base/ip.ts';
import { check, errno, libc, SystemError } from './libc.ts';

const c = libc({
  socket: { args: ['i32', 'i32', 'i32'], returns: 'i32' },
  bind: { args: ['i32', 'ptr', 'u32'], returns: 'i32' },
  listen: { args: ['i32', 'i32'], returns: 'i32' },
  accept4: { args: ['i32', 'ptr', 'ptr', 'i32'], returns: 'i32' },
  connect: { args: ['i32', 'ptr', 'u32'], returns: 'i32' },
  setsockopt: { args: ['i32', 'i32', 'i32', 'ptr', 'u32'], returns: 'i32' },
  getpeername: { args: ['i32', 'ptr', 'ptr'], returns: 'i32' },
  shutdown: { args: ['i32', 'i32'], returns: 'i32' },
  send: { args: ['i32', 'ptr', 'u64', 'i32'], returns: 'i64' },
  recv: { args: ['i32', 'ptr', 'u64', 'i32'], returns: 'i64' },
});

const AF_INET = 2;
const AF_INET6 = 10;
const SOCK_STREAM = 1;
const SOCK_DGRAM = 2;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const SOL_SOCKET = 1;
const SO_REUSEADDR = 2;
const IPPROTO_TCP = 6;
const TCP_NODELAY = 1;
const IPPROTO_IPV6 = 41;
const IPV6_V6ONLY = 26;
const backlog = 4096;

const EAGAIN = 11;
const EINPROGRESS = 115;

export interface Endpoint {
  readonly address: IpAddress;
  readonly port: number;
}

/** sockaddr_in or sockaddr_in6. */
export function socketAddress({ address, port }: Endpoint): Uint8Array {
  const bytes = new Uint8Array(address.family === 4 ? 16 : 28);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, address.family === 4 ? AF_INET : AF_INET6, true);
  view.setUint16(2, port);
  bytes.set(ipBytes(address), address.family === 4 ? 4 : 8);
  return bytes;
}

export function endpointOf(bytes: Uint8Array): Endpoint {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const ipv4 = view.getUint16(0, true) === AF_INET;
  return { address: ipFromBytes(ipv4 ? bytes.subarray(4, 8) : bytes.subarray(8, 24)), port: view.getUint16(2) };
}

/** Of a sockaddr: an IPv4 address that an IPv6 socket speaks with is IPv4. */
export function familyOf(bytes: Uint8Array): 4 | 6 {
  const isIpv4 = bytes[0] === AF_INET;
  return isIpv4 || mappedPrefix.every((byte, index) => bytes[8 + index] === byte) ? 4 : 6;
}

/** `::ffff:0:0/96`. */
const mappedPrefix = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff];

/** How the other end of a connection speaks; 4 when it has gone already. */
export function peerFamily(fd: number): 4 | 6 {
  const bytes = new Uint8Array(28);
  return c.getpeername(fd, bytes, new Uint32Array([bytes.length])) === -1 ? 4 : familyOf(bytes);
}

export function endpoint(address: string, port: number): Endpoint {
  const parsed = parseIp(address);
  if (parsed === undefined) throw new Error(`not an IP address: ${address}`);
  return { address: parsed, port };
}

/**
 * A non-blocking socket that holds a port of this host: a TCP one listens. An IPv6 socket takes no IPv4 traffic unless it is for both families.
 * Throws a SystemError, EADDRINUSE when somebody has the port.
 */
export function listenOn(protocol: 'tcp' | 'udp', at: Endpoint, bothFamilies = false): number {
  const family = at.address.family === 4 ? AF_INET : AF_INET6;
  const kind = protocol === 'tcp' ? SOCK_STREAM : SOCK_DGRAM;
  const fd = check(c.socket(family, kind | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), 'socket');
  try {
    if (family === AF_INET6) setOption(fd, IPPROTO_IPV6, IPV6_V6ONLY, bothFamilies ? 0 : 1);
    // Connections that ended a moment ago must not keep the port from being listened on again.
    if (protocol === 'tcp') setOption(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    const bytes = socketAddress(at);
    check(c.bind(fd, bytes, bytes.length), 'bind');
    if (protocol === 'tcp') check(c.listen(fd, backlog), 'listen');
    return fd;
  } catch (err) {
    closeSync(fd);
    throw err;
  }
}

/** Undefined when nobody waits to be accepted. */
export function acceptFrom(fd: number): number | undefined {
  const accepted = c.accept4(fd, null, null, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (accepted !== -1) return accepted;
  const number = errno();
  // What the network did to a connection before it was accepted says nothing about the listener.
  if (number === EAGAIN || number === 103 /* ECONNABORTED */ || number === 71 /* EPROTO */ || number === 4 /* EINTR */) return undefined;
  throw new SystemError('accept4', number);
}

/** Begins a connection. How it went shows when the descriptor is used: EAGAIN until it is up, then the reason if it failed. */
export function connectTo(protocol: 'tcp' | 'udp', to: Endpoint): number {
  const kind = protocol === 'tcp' ? SOCK_STREAM : SOCK_DGRAM;
  const fd = check(c.socket(to.address.family === 4 ? AF_INET : AF_INET6, kind | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), 'socket');
  const bytes = socketAddress(to);
  if (c.connect(fd, bytes, bytes.length) === -1) {
    const number = errno();
    if (number !== EINPROGRESS) {
      closeSync(fd);
      throw new SystemError('connect', number);
    }
  }
  return fd;
}

export const sendAtOnce = (fd: number): void => setOption(fd, IPPROTO_TCP, TCP_NODELAY, 1);

/** Tells the peer that no more will come. A peer that is gone already is fine. */
export function endWriting(fd: number): void {
  c.shutdown(fd, 1);
}

/** Bytes received, undefined when there are none now. */
export function receive(fd: number, into: Uint8Array): number | undefined {
  const length = Number(c.recv(fd, into, into.length, 0));
  if (length !== -1) return length;
  const number = errno();
  if (number === EAGAIN) return undefined;
  throw new SystemError('recv', number);
}

/** Sends a datagram on a connected socket; one that the network cannot take now is lost, as datagrams may be. */
export function sendDatagram(fd: number, data: Uint8Array): void {
  c.send(fd, data, data.length, 0);
}

export function setOption(fd: number, level: number, option: number, value: number): void {
  check(c.setsockopt(fd, level, option, new Int32Array([value]), 4), 'setsockopt');
}
