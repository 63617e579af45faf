import { write } from 'node:fs';
import { check, errno, libc, SystemError } from './libc.ts';
import { runInNamespace } from './netns.ts';
import { adoptSocket } from './unix-socket.ts';

const { socket, bind, send, recv, close, getsockname, setsockopt } = libc({
  socket: { args: ['i32', 'i32', 'i32'], returns: 'i32' },
  bind: { args: ['i32', 'ptr', 'u32'], returns: 'i32' },
  send: { args: ['i32', 'ptr', 'u64', 'i32'], returns: 'i64' },
  recv: { args: ['i32', 'ptr', 'u64', 'i32'], returns: 'i64' },
  close: { args: ['i32'], returns: 'i32' },
  getsockname: { args: ['i32', 'ptr', 'ptr'], returns: 'i32' },
  setsockopt: { args: ['i32', 'i32', 'i32', 'ptr', 'u32'], returns: 'i32' },
});

const AF_NETLINK = 16;
const SOCK_RAW = 3;
const SOCK_CLOEXEC = 0o2000000;
const SOCK_NONBLOCK = 0o4000;
const SOL_SOCKET = 1;
const SO_RCVBUFFORCE = 33;
const NETLINK_ADD_MEMBERSHIP = 1;
const NETLINK_NO_ENOBUFS = 5;
const receiveBytes = 1 << 20;
const SOL_NETLINK = 270;
const NETLINK_EXT_ACK = 11;
const NETLINK_GET_STRICT_CHK = 12;

const NLMSG_ERROR = 2;
const NLMSG_DONE = 3;
const NLM_F_CAPPED = 0x100;
const NLM_F_ACK_TLVS = 0x200;
const NLMSGERR_ATTR_MSG = 1;
const headerBytes = 16;

export const netlinkFamily = { route: 0, xfrm: 6, netfilter: 12 } as const;

export function isNetlinkSocket(fd: number): boolean {
  const address = new Uint8Array(12);
  return getsockname(fd, address, new Uint32Array([address.length])) === 0 && address[0] === AF_NETLINK;
}

/** One message: its type, flags and everything after the header. The flags ask for an acknowledgement or a dump, which ends the answer. */
export interface NetlinkMessage {
  readonly type: number;
  readonly flags: number;
  readonly payload: Uint8Array;
}

/**
 * A netlink socket. It belongs to the network namespace it was made in, whichever namespace the thread is in later. The kernel answers while the
 * message is being sent, so a call never waits for anything but the kernel's own work.
 */
export class NetlinkSocket implements Disposable {
  readonly #fd: number;
  #sequence = 1;
  #open = true;
  readonly #buffer = new Uint8Array(64 * 1024);

  /** `namespacePath`: the namespace to speak to; the thread's own when undefined. */
  constructor(family: number, namespacePath?: string) {
    const open = () => check(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, family), 'socket', 'AF_NETLINK');
    this.#fd = namespacePath === undefined ? open() : runInNamespace(namespacePath, open);
    const one = new Int32Array([1]);
    setsockopt(this.#fd, SOL_NETLINK, NETLINK_EXT_ACK, one, 4);
    setsockopt(this.#fd, SOL_NETLINK, NETLINK_GET_STRICT_CHK, one, 4);
    const address = new Uint8Array(12);
    new DataView(address.buffer).setUint16(0, AF_NETLINK, true);
    if (bind(this.#fd, address, address.length) === -1) {
      const number = errno();
      close(this.#fd);
      throw new SystemError('bind', number, 'AF_NETLINK');
    }
  }

  /**
   * Sends one message and returns the payloads of the answers. A refusal throws a SystemError whose message carries `what` and the kernel's own
   * words, if it gave any.
   */
  request(message: NetlinkMessage, what: string): Uint8Array[] {
    const sequence = this.#sequence++;
    const bytes = encode(message, sequence);
    check(Number(send(this.#fd, bytes, bytes.length, 0)), 'send', what);
    return this.#answers(sequence, what);
  }

  /**
   * The same for what takes the kernel long: the message is written by another thread, which waits for the kernel instead of this one. Nothing
   * else may be asked on this socket meanwhile.
   */
  async requestAside(message: NetlinkMessage, what: string): Promise<Uint8Array[]> {
    const sequence = this.#sequence++;
    const bytes = encode(message, sequence);
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    write(this.#fd, bytes, 0, bytes.length, null, err => (err === null ? resolve() : reject(err)));
    await promise;
    return this.#answers(sequence, what);
  }

  #answers(sequence: number, what: string): Uint8Array[] {
    const answers: Uint8Array[] = [];
    for (;;) {
      const length = Number(recv(this.#fd, this.#buffer, this.#buffer.length, 0));
      if (length === -1) {
        const number = errno();
        if (number === 4 /* EINTR */) continue;
        throw new SystemError('recv', number, what);
      }
      if (this.#read(length, sequence, what, answers)) return answers;
    }
  }

  /** True when the answer is complete. */
  #read(length: number, sequence: number, what: string, answers: Uint8Array[]): boolean {
    const view = new DataView(this.#buffer.buffer, 0, length);
    for (let at = 0; at + headerBytes <= length; ) {
      const size = view.getUint32(at, true);
      const type = view.getUint16(at + 4, true);
      const flags = view.getUint16(at + 6, true);
      if (size < headerBytes) return true;
      if (view.getUint32(at + 8, true) === sequence) {
        if (type === NLMSG_DONE) return true;
        if (type === NLMSG_ERROR) {
          const number = -view.getInt32(at + headerBytes, true);
          if (number === 0) return true;
          throw refusal(this.#buffer.subarray(at, at + size), flags, number, what);
        }
        answers.push(this.#buffer.slice(at + headerBytes, at + size));
      }
      at += (size + 3) & ~3;
    }
    return false;
  }

  [Symbol.dispose](): void {
    if (!this.#open) return;
    this.#open = false;
    close(this.#fd);
  }
}

/** The messages in what one read of a netlink socket gives. */
export function messagesIn(bytes: Uint8Array): { readonly type: number; readonly payload: Uint8Array }[] {
  const messages: { type: number; payload: Uint8Array }[] = [];
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  for (let at = 0; at + headerBytes <= bytes.length; ) {
    const size = view.getUint32(at, true);
    if (size < headerBytes || at + size > bytes.length) break;
    messages.push({ type: view.getUint16(at + 4, true), payload: bytes.subarray(at + headerBytes, at + size) });
    at += (size + 3) & ~3;
  }
  return messages;
}

/**
 * Hears what the kernel tells these multicast groups, until disposed. When more comes than is read in time the kernel leaves some out: `failed` is
 * called once if nothing can be heard any more.
 */
export function openNetlinkGroups(
  family: number,
  groups: readonly number[],
  heard: (bytes: Uint8Array) => void,
  failed: (err: unknown) => void,
): Disposable {
  const fd = check(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, family), 'socket', 'AF_NETLINK');
  const address = new Uint8Array(12);
  new DataView(address.buffer).setUint16(0, AF_NETLINK, true);
  setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, new Int32Array([receiveBytes]), 4);
  // An overrun says nothing that the next message would not make up for.
  setsockopt(fd, SOL_NETLINK, NETLINK_NO_ENOBUFS, new Int32Array([1]), 4);
  const bound = bind(fd, address, address.length) === 0 && groups.every(group => join(fd, group));
  if (!bound) {
    const number = errno();
    close(fd);
    throw new SystemError('bind', number, 'AF_NETLINK');
  }
  let isOpen = true;
  const connected = adoptSocket({
    fd,
    socket: {
      data: (_socket, data) => heard(data),
      error: (_socket, err) => {
        if (isOpen) failed(err);
      },
      close: () => {
        if (isOpen) failed(new Error('the netlink socket was closed'));
      },
    },
  });
  return {
    [Symbol.dispose]() {
      isOpen = false;
      void connected.then(one => one.end());
    },
  };
}

const join = (fd: number, group: number): boolean => setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, new Int32Array([group]), 4) === 0;

function encode(message: NetlinkMessage, sequence: number): Uint8Array {
  const bytes = new Uint8Array(headerBytes + message.payload.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, bytes.length, true);
  view.setUint16(4, message.type, true);
  view.setUint16(6, message.flags, true);
  view.setUint32(8, sequence, true);
  bytes.set(message.payload, headerBytes);
  return bytes;
}

function refusal(message: Uint8Array, flags: number, number: number, what: string): SystemError {
  const words = kernelWords(message, flags);
  return new SystemError('netlink', number, words === undefined ? what : `${what} (${words})`);
}

/** The text that extended acknowledgements carry behind the (possibly capped) copy of the request. */
function kernelWords(message: Uint8Array, flags: number): string | undefined {
  if ((flags & NLM_F_ACK_TLVS) === 0) return undefined;
  const view = new DataView(message.buffer, message.byteOffset, message.length);
  const original = headerBytes + 4;
  const copied = (flags & NLM_F_CAPPED) !== 0 ? headerBytes : view.getUint32(original, true);
  for (let at = original + ((copied + 3) & ~3); at + 4 <= message.length; ) {
    const size = view.getUint16(at, true);
    if (size < 4) return undefined;
    if ((view.getUint16(at + 2, true) & 0x3fff) === NLMSGERR_ATTR_MSG) {
      return new TextDecoder().decode(message.subarray(at + 4, at + size - 1));
    }
    at += (size + 3) & ~3;
  }
  return undefined;
}
