import { notFound, isErrno } from '#base/errors.ts';
import type { ProcessIo, ProcessStreams } from '#core/runtime.ts';
import { adoptSocket, connectSeqpacket, duplicate, shutdownSocket } from '#host/sys/unix-socket.ts';
import { files } from './layout.ts';
import { closeSync } from 'node:fs';

type Listener = Parameters<ProcessStreams['onOutput']>[0];

// conmon reads stdin in packets of at most 32 767 bytes and drops the rest of a longer one.
const stdinPacketBytes = 32_000;
const stderrMark = 3;

/**
 * Connects to a monitor's attach socket. Each packet of output begins with a byte that names the stream. `ended` is the monitor's end.
 *
 * conmon closes the process's stdin as soon as any client goes, also one that only listened. A connection that is given up while stdin is to
 * stay open is therefore kept until the process ends, its reading side shut so that conmon stops writing to it.
 */
export async function connectStreams(directory: string, io: ProcessIo, ended: Promise<unknown>): Promise<ProcessStreams> {
  let fd: number;
  try {
    fd = connectSeqpacket(directory, files.attach);
  } catch (err) {
    if (isErrno(err, 'ENOENT', 'ECONNREFUSED'))
      throw notFound('the process has ended: its output cannot be attached any more', { cause: err });
    throw err;
  }
  const streams = new AttachedStreams(fd, io, ended);
  await streams.connect();
  return streams;
}

class AttachedStreams implements ProcessStreams {
  readonly closed: Promise<void>;
  readonly #fd: number;
  readonly #io: ProcessIo;
  readonly #ended: Promise<unknown>;
  readonly #closing = Promise.withResolvers<void>();
  #socket: Bun.Socket | undefined;
  #listener: Listener | undefined;
  /** Output that came before there was a listener. */
  #early: Uint8Array[] = [];
  #deliveries = Promise.resolve();
  #pending = 0;
  #stdin = Promise.resolve();
  #stdinEnded = false;
  #writable: PromiseWithResolvers<void> | undefined;
  #disposed = false;
  #isClosed = false;

  constructor(fd: number, io: ProcessIo, ended: Promise<unknown>) {
    this.#fd = fd;
    this.#io = io;
    this.#ended = ended;
    this.closed = this.#closing.promise;
  }

  async connect(): Promise<void> {
    this.#socket = await adoptSocket({
      fd: this.#fd,
      allowHalfOpen: true,
      socket: {
        data: (_socket, packet) => this.#receive(packet),
        drain: () => this.#writable?.resolve(),
        close: () => this.#end(),
        end: socket => socket.terminate(),
        error: () => undefined,
      },
    });
  }

  onOutput(listener: Listener): void {
    this.#listener = listener;
    const early = this.#early;
    this.#early = [];
    for (const packet of early) this.#deliver(listener, packet);
  }

  async writeStdin(chunk: Uint8Array): Promise<void> {
    this.#stdin = this.#stdin.then(async () => {
      for (let at = 0; at < chunk.length; at += stdinPacketBytes) await this.#send(chunk.subarray(at, at + stdinPacketBytes));
    });
    await this.#stdin;
  }

  async closeStdin(): Promise<void> {
    this.#stdin = this.#stdin.then(() => {
      if (this.#isClosed || this.#stdinEnded) return;
      this.#stdinEnded = true;
      shutdownSocket(this.#fd, 'write');
    });
    await this.#stdin;
  }

  [Symbol.dispose](): void {
    if (this.#disposed) return;
    this.#disposed = true;
    if (this.#isClosed) return;
    if (this.#io.stdin && !this.#io.keepStdinOpen && !this.#stdinEnded) {
      const parked = duplicate(this.#fd);
      shutdownSocket(parked, 'read');
      void this.#ended.finally(() => closeSync(parked));
    }
    this.#socket?.terminate();
  }

  #receive(packet: Uint8Array): void {
    if (this.#disposed) return;
    if (this.#listener === undefined) {
      this.#early.push(packet.slice());
      this.#socket?.pause();
      return;
    }
    this.#deliver(this.#listener, packet);
  }

  #deliver(listener: Listener, packet: Uint8Array): void {
    const hand = (bytes: Uint8Array): void | Promise<void> => listener(bytes[0] === stderrMark ? 'stderr' : 'stdout', bytes.subarray(1));
    if (this.#pending === 0) {
      const busy = hand(packet);
      if (busy === undefined) {
        this.#socket?.resume();
        return;
      }
      this.#await(busy);
      return;
    }
    // Packets that were already read when the listener asked for a pause wait in line.
    const kept = packet.slice();
    this.#await(this.#deliveries.then(() => hand(kept)));
  }

  #await(delivery: Promise<void>): void {
    this.#pending += 1;
    if (this.#pending === 1) this.#socket?.pause();
    this.#deliveries = delivery.then(
      () => undefined,
      () => undefined,
    );
    void this.#deliveries.then(() => {
      this.#pending -= 1;
      if (this.#pending === 0 && !this.#isClosed) this.#socket?.resume();
    });
  }

  async #send(packet: Uint8Array): Promise<void> {
    while (!this.#isClosed && !this.#stdinEnded) {
      this.#writable = Promise.withResolvers();
      if (this.#socket?.write(packet) === packet.length) return;
      await this.#writable.promise;
    }
  }

  #end(): void {
    this.#isClosed = true;
    this.#writable?.resolve();
    void this.#deliveries.then(() => this.#closing.resolve());
  }
}
