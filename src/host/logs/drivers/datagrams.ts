import { createSocket, type Socket } from 'node:dgram';
import { lookup } from 'node:dns/promises';
import { closeSync } from 'node:fs';
import { isErrno, messageOf, unavailable } from '#base/errors.ts';
import { connectUnixDatagram, sendPacket } from '#host/sys/message-socket.ts';

/** Sends datagrams: a receiver that is not there is not noticed over UDP. */
export interface DatagramSender {
  connect(signal: AbortSignal): Promise<void>;
  send(packets: readonly Uint8Array[], signal: AbortSignal): Promise<void>;
  close(): void;
}

export class UdpSender implements DatagramSender {
  readonly #host: string;
  readonly #port: number;
  #socket: Socket | undefined;
  #address = '';

  constructor(host: string, port: number) {
    this.#host = host;
    this.#port = port;
  }

  async connect(_signal: AbortSignal): Promise<void> {
    if (this.#socket !== undefined) return;
    try {
      const { address, family } = await lookup(this.#host);
      this.#address = address;
      this.#socket = createSocket(family === 6 ? 'udp6' : 'udp4');
    } catch (err) {
      throw unavailable(`dial udp: lookup ${this.#host}: ${messageOf(err)}`, { cause: err });
    }
    this.#socket.on('error', () => undefined);
    this.#socket.unref();
  }

  async send(packets: readonly Uint8Array[], signal: AbortSignal): Promise<void> {
    await this.connect(signal);
    for (const packet of packets) await this.#sendOne(packet);
  }

  close(): void {
    this.#socket?.close();
    this.#socket = undefined;
  }

  async #sendOne(packet: Uint8Array): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.#socket?.send(packet, this.#port, this.#address, err => (err ? reject(err) : resolve()));
    try {
      await promise;
    } catch (err) {
      // Too long for a datagram: no attempt would change that, and the lines after it are not to wait.
      if (isErrno(err, 'EMSGSIZE')) return;
      throw unavailable(`udp ${this.#host}:${String(this.#port)}: ${messageOf(err)}`, { cause: err });
    }
  }
}

const firstWaitMs = 1;
const longestWaitMs = 100;

/** A unix datagram socket: its receiver is noticed, and waited for when it is slow. */
export class UnixDatagramSender implements DatagramSender {
  readonly #paths: readonly string[];
  #fd: number | undefined;
  #path = '';

  /** The first that can be connected is used. */
  constructor(paths: readonly string[]) {
    this.#paths = paths;
  }

  async connect(_signal: AbortSignal): Promise<void> {
    this.#open();
  }

  async send(packets: readonly Uint8Array[], signal: AbortSignal): Promise<void> {
    for (const packet of packets) await this.sendWith(packet, signal, (fd, bytes) => sendPacket(fd, bytes));
  }

  /** Sends with a function that answers false while the receiver's queue is full. */
  async sendWith(packet: Uint8Array, signal: AbortSignal, send: (fd: number, bytes: Uint8Array) => boolean): Promise<void> {
    let waitMs = firstWaitMs;
    for (;;) {
      signal.throwIfAborted();
      const fd = this.#open();
      try {
        if (send(fd, packet)) return;
      } catch (err) {
        // Too long for a datagram: no attempt would change that, and the lines after it are not to wait.
        if (isErrno(err, 'EMSGSIZE')) return;
        this.close();
        throw unavailable(`unixgram ${this.#path}: ${messageOf(err)}`, { cause: err });
      }
      await Bun.sleep(waitMs);
      waitMs = Math.min(waitMs * 2, longestWaitMs);
    }
  }

  close(): void {
    if (this.#fd !== undefined) closeSync(this.#fd);
    this.#fd = undefined;
  }

  #open(): number {
    if (this.#fd !== undefined) return this.#fd;
    let failure: unknown;
    for (const path of this.#paths) {
      try {
        this.#fd = connectUnixDatagram(path);
        this.#path = path;
        return this.#fd;
      } catch (err) {
        failure ??= err;
      }
    }
    throw unavailable(`dial unixgram ${this.#paths[0] ?? ''}: ${messageOf(failure)}`, { cause: failure });
  }
}
