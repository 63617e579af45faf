import { ptr } from 'bun:ffi';
import { closeSync, constants, openSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { check, errno, libc, SystemError } from './libc.ts';

const c = libc({
  socket: { args: ['i32', 'i32', 'i32'], returns: 'i32' },
  bind: { args: ['i32', 'ptr', 'u32'], returns: 'i32' },
  listen: { args: ['i32', 'i32'], returns: 'i32' },
  connect: { args: ['i32', 'ptr', 'u32'], returns: 'i32' },
  sendmsg: { args: ['i32', 'ptr', 'i32'], returns: 'i64' },
  recvmsg: { args: ['i32', 'ptr', 'i32'], returns: 'i64' },
});

const AF_UNIX = 1;
const SOCK_DGRAM = 2;
const SOCK_SEQPACKET = 5;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const SOL_SOCKET = 1;
const SCM_RIGHTS = 1;
const MSG_NOSIGNAL = 0x4000;
const MSG_DONTWAIT = 0x40;
const MSG_CMSG_CLOEXEC = 0x40000000;
const EAGAIN = 11;
const controlHeader = 16;

/** A packet with what came beside it. */
export interface Packet {
  /** Valid until the next call. */
  readonly data: Uint8Array;
  /** sockaddr of the sender; empty on connected sockets. */
  readonly from: Uint8Array;
  readonly control: readonly ControlMessage[];
}

export interface ControlMessage {
  readonly level: number;
  readonly type: number;
  readonly data: Uint8Array;
}

const dataBuffer = new Uint8Array(64 * 1024);
const controlBuffer = new Uint8Array(512);
const nameBuffer = new Uint8Array(128);

/** The next packet; undefined when there is none now. A packet without data is the end of a connection. */
export function receivePacket(fd: number): Packet | undefined {
  const header = new MessageHeader(dataBuffer, controlBuffer, nameBuffer);
  const length = header.call(bytes => c.recvmsg(fd, bytes, MSG_DONTWAIT | MSG_CMSG_CLOEXEC));
  if (length === -1) {
    const number = errno();
    if (number === EAGAIN || number === 4 /* EINTR */) return undefined;
    throw new SystemError('recvmsg', number);
  }
  const view = new DataView(header.bytes.buffer);
  return {
    data: dataBuffer.subarray(0, length),
    from: nameBuffer.slice(0, view.getUint32(8, true)),
    control: parseControl(controlBuffer.subarray(0, view.getUint32(40, true))),
  };
}

/** False when the peer's queue is full: nothing was sent. `to`: a sockaddr, on unconnected sockets. */
export function sendPacket(
  fd: number,
  data: Uint8Array,
  options: { readonly control?: ControlMessage; readonly to?: Uint8Array } = {},
): boolean {
  const control = options.control === undefined ? undefined : encodeControl(options.control);
  const header = new MessageHeader(data, control, options.to);
  if (header.call(bytes => c.sendmsg(fd, bytes, MSG_NOSIGNAL | MSG_DONTWAIT)) !== -1) return true;
  const number = errno();
  if (number === EAGAIN) return false;
  throw new SystemError('sendmsg', number);
}

/** How many descriptors a packet received here may bring. */
export const mostDescriptors = 100;

/** Beside a packet on a unix socket: the receiver gets its own descriptors for the same open files. */
export const passingDescriptors = (fds: readonly number[]): ControlMessage => ({
  level: SOL_SOCKET,
  type: SCM_RIGHTS,
  data: new Uint8Array(new Int32Array(fds).buffer),
});

/** Descriptors that came with a packet; the receiver owns them. */
export function passedDescriptors(packet: Packet): number[] {
  return packet.control.flatMap(({ level, type, data }) =>
    level === SOL_SOCKET && type === SCM_RIGHTS ? [...new Int32Array(data.slice().buffer)] : [],
  );
}

/** Listens for connections of packets (SOCK_SEQPACKET) at a path of any length. */
export const listenForPackets = (path: string): number =>
  atUnixAddress(SOCK_SEQPACKET, path, (fd, address) => {
    check(c.bind(fd, address, address.length), 'bind', path);
    check(c.listen(fd, 16), 'listen', path);
  });

export const connectForPackets = (path: string): number =>
  atUnixAddress(SOCK_SEQPACKET, path, (fd, address) => check(c.connect(fd, address, address.length), 'connect', path));

/** A datagram socket that sends to the one at this path. */
export const connectUnixDatagram = (path: string): number =>
  atUnixAddress(SOCK_DGRAM, path, (fd, address) => check(c.connect(fd, address, address.length), 'connect', path));

/** A datagram socket that receives at this path. */
export const bindUnixDatagram = (path: string): number =>
  atUnixAddress(SOCK_DGRAM, path, (fd, address) => check(c.bind(fd, address, address.length), 'bind', path));

/** A socket's address has room for 108 bytes, so a path is reached through an open descriptor of its directory. */
function atUnixAddress(type: number, path: string, action: (fd: number, address: Uint8Array) => unknown): number {
  const directory = openSync(dirname(path), constants.O_DIRECTORY | constants.O_RDONLY);
  try {
    const fd = check(c.socket(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), 'socket');
    try {
      const name = new TextEncoder().encode(`/proc/self/fd/${String(directory)}/${basename(path)}`);
      const address = new Uint8Array(2 + name.length + 1);
      address[0] = AF_UNIX;
      address.set(name, 2);
      action(fd, address);
      return fd;
    } catch (err) {
      closeSync(fd);
      throw err;
    }
  } finally {
    closeSync(directory);
  }
}

/** msghdr (56 bytes) followed by its only iovec; every 64-bit Linux has this layout. */
class MessageHeader {
  readonly bytes = new Uint8Array(56 + 16);
  /** The header holds their addresses only: they must not be collected before the call has returned. */
  readonly #pointedTo: readonly (Uint8Array | undefined)[];

  constructor(data: Uint8Array, control: Uint8Array | undefined, name: Uint8Array | undefined) {
    this.#pointedTo = [data, control, name];
    const view = new DataView(this.bytes.buffer);
    const pointer = (at: number, value: number): void => view.setBigUint64(at, BigInt(value), true);
    if (name !== undefined) {
      pointer(0, Number(ptr(name)));
      view.setUint32(8, name.length, true);
    }
    pointer(16, Number(ptr(this.bytes)) + 56);
    pointer(24, 1);
    if (control !== undefined) {
      pointer(32, Number(ptr(control)));
      pointer(40, control.length);
    }
    if (data.length > 0) pointer(56, Number(ptr(data)));
    pointer(64, data.length);
  }

  /** -1 as an error; errno is untouched. */
  call(action: (bytes: Uint8Array) => number | bigint): number {
    const result = action(this.bytes);
    return this.#pointedTo.length === 0 ? -1 : Number(result);
  }
}

function encodeControl({ level, type, data }: ControlMessage): Uint8Array {
  const bytes = new Uint8Array((controlHeader + data.length + 7) & ~7);
  const view = new DataView(bytes.buffer);
  view.setBigUint64(0, BigInt(controlHeader + data.length), true);
  view.setInt32(8, level, true);
  view.setInt32(12, type, true);
  bytes.set(data, controlHeader);
  return bytes;
}

function parseControl(bytes: Uint8Array): ControlMessage[] {
  const found: ControlMessage[] = [];
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  for (let at = 0; at + controlHeader <= bytes.length; ) {
    const size = Number(view.getBigUint64(at, true));
    if (size < controlHeader || at + size > bytes.length) break;
    found.push({
      level: view.getInt32(at + 8, true),
      type: view.getInt32(at + 12, true),
      data: bytes.slice(at + controlHeader, at + size),
    });
    at += (size + 7) & ~7;
  }
  return found;
}
