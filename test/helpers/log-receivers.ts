import { readFileSync, rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { gunzipSync, inflateSync } from 'node:zlib';
import { closeSync } from 'node:fs';
import { bindUnixDatagram, passedDescriptors, receivePacket } from '#host/sys/message-socket.ts';
import { MsgpackReader } from '#host/logs/drivers/msgpack.ts';

/** Listens for connections on a loopback port, which it keeps over restarts, or at a path. */
export abstract class StreamReceiver implements AsyncDisposable {
  #server: Server | undefined;
  #place: number | string;
  readonly #open = new Set<Socket>();
  /** Does not read while true. */
  isPaused = false;

  constructor(place: number | string = 0) {
    this.#place = place;
  }

  get port(): number {
    return typeof this.#place === 'number' ? this.#place : 0;
  }

  get connections(): number {
    return this.#open.size;
  }

  async start(): Promise<void> {
    const server = createServer(socket => {
      this.#open.add(socket);
      const read = this.reader(bytes => socket.write(bytes));
      if (this.isPaused) socket.pause();
      socket.on('data', chunk => read(chunk as Buffer));
      socket.on('error', () => undefined);
      socket.on('close', () => this.#open.delete(socket));
    });
    this.#server = server;
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      if (typeof this.#place === 'string') {
        rmSync(this.#place, { force: true });
        server.listen(this.#place, resolve);
      } else server.listen(this.#place, '127.0.0.1', resolve);
    });
    const address = server.address();
    if (typeof address === 'object' && address !== null) this.#place = address.port;
  }

  /** Reads on what it was given while it was paused. */
  resume(): void {
    this.isPaused = false;
    for (const socket of this.#open) socket.resume();
  }

  /** Goes away at once, as one that was killed. */
  async stop(): Promise<void> {
    for (const socket of this.#open) socket.resetAndDestroy();
    this.#open.clear();
    const server = this.#server;
    this.#server = undefined;
    if (server !== undefined) await new Promise<void>(resolve => server.close(() => resolve()));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  /** Called for each connection. */
  protected abstract reader(answer: (bytes: Uint8Array) => void): (chunk: Buffer) => void;
}

/** Collects what ends with a byte: lines, or the messages of GELF over TCP. */
export class DelimitedReceiver extends StreamReceiver {
  readonly messages: string[] = [];
  readonly #end: number;

  constructor(end: number, place: number | string = 0) {
    super(place);
    this.#end = end;
  }

  protected reader(): (chunk: Buffer) => void {
    let unread: Buffer = Buffer.alloc(0);
    return chunk => {
      unread = Buffer.concat([unread, chunk]);
      for (let end = unread.indexOf(this.#end); end !== -1; end = unread.indexOf(this.#end)) {
        this.messages.push(unread.toString('utf8', 0, end));
        unread = unread.subarray(end + 1);
      }
    };
  }
}

export interface FluentdEvent {
  readonly tag: string;
  /** Seconds, or eight bytes of seconds and nanoseconds. */
  readonly time: unknown;
  readonly record: Readonly<Record<string, string>>;
}

/** Understands the messages of fluentd's forward protocol, and acknowledges those that ask for it. */
export class FluentdReceiver extends StreamReceiver {
  readonly events: FluentdEvent[] = [];
  /** Takes messages without acknowledging them while false. */
  acknowledges = true;

  protected reader(answer: (bytes: Uint8Array) => void): (chunk: Buffer) => void {
    let unread: Buffer = Buffer.alloc(0);
    return chunk => {
      unread = Buffer.concat([unread, chunk]);
      for (;;) {
        const reader = new MsgpackReader(unread);
        let value: unknown;
        try {
          value = reader.value();
        } catch (err) {
          if (err instanceof RangeError) return;
          throw err;
        }
        unread = unread.subarray(reader.at);
        const [tag, time, record, option] = value as [string, unknown, Map<string, string>, Map<string, string>];
        const chunkId = option.get('chunk');
        if (chunkId === undefined || this.acknowledges) this.events.push({ tag, time, record: Object.fromEntries(record) });
        if (chunkId !== undefined && this.acknowledges) answer(acknowledgement(chunkId));
      }
    };
  }
}

/** `{"ack": id}` in MessagePack. */
const acknowledgement = (id: string): Buffer =>
  Buffer.concat([Buffer.from([0x81, 0xa3]), Buffer.from('ack'), Buffer.from([0xd9, id.length]), Buffer.from(id)]);

/** GELF over UDP: puts chunks together and uncompresses. */
export class GelfUdpReceiver implements AsyncDisposable {
  readonly messages: Readonly<Record<string, unknown>>[] = [];
  /** How the datagrams began: gzip, zlib, chunk or plain. */
  readonly kinds = new Set<string>();
  readonly #chunks = new Map<string, Buffer[]>();
  #socket: UdpSocket | undefined;
  #port = 0;

  get port(): number {
    return this.#port;
  }

  async start(): Promise<void> {
    const socket = createSocket('udp4');
    this.#socket = socket;
    socket.on('message', packet => this.#take(packet));
    await new Promise<void>(resolve => socket.bind(this.#port, '127.0.0.1', resolve));
    this.#port = socket.address().port;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#socket?.close();
  }

  #take(packet: Buffer): void {
    if (packet[0] === 0x1e && packet[1] === 0x0f) {
      this.kinds.add('chunk');
      const id = packet.toString('hex', 2, 10);
      const parts = this.#chunks.get(id) ?? [];
      this.#chunks.set(id, parts);
      parts[packet[10] ?? 0] = packet.subarray(12);
      if (parts.filter(part => part !== undefined).length === packet[11]) {
        this.#chunks.delete(id);
        this.#take(Buffer.concat(parts));
      }
      return;
    }
    const kind = packet[0] === 0x1f && packet[1] === 0x8b ? 'gzip' : packet[0] === 0x78 ? 'zlib' : 'plain';
    this.kinds.add(kind);
    const json = kind === 'gzip' ? gunzipSync(packet) : kind === 'zlib' ? inflateSync(packet) : packet;
    this.messages.push(JSON.parse(json.toString('utf8')) as Record<string, unknown>);
  }
}

/** A datagram socket at a path. */
export class UnixDatagramReceiver implements AsyncDisposable {
  readonly path: string;
  #fd: number | undefined;

  constructor(path: string) {
    this.path = path;
  }

  start(): void {
    rmSync(this.path, { force: true });
    this.#fd = bindUnixDatagram(this.path);
  }

  /** Goes away with what it has not taken. */
  stop(): void {
    if (this.#fd !== undefined) closeSync(this.#fd);
    this.#fd = undefined;
    rmSync(this.path, { force: true });
  }

  /** What has arrived since the last call. Large entries come as files. */
  take(): Buffer[] {
    const found: Buffer[] = [];
    for (let packet = this.#receive(); packet !== undefined; packet = this.#receive()) {
      const files = passedDescriptors(packet);
      if (files.length === 0) found.push(Buffer.from(packet.data));
      for (const file of files) {
        found.push(readFileSync(`/proc/self/fd/${String(file)}`));
        closeSync(file);
      }
    }
    return found;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.stop();
  }

  #receive(): ReturnType<typeof receivePacket> {
    return this.#fd === undefined ? undefined : receivePacket(this.#fd);
  }
}

/** The fields of an entry in the journal's own protocol: `NAME=value`, or with a length where the value has line breaks. */
export function journalFields(entry: Buffer): Record<string, string> {
  const fields: Record<string, string> = {};
  for (let at = 0; at < entry.length; ) {
    const end = entry.indexOf(10, at);
    const line = entry.toString('latin1', at, end);
    const equals = line.indexOf('=');
    if (equals !== -1) {
      fields[line.slice(0, equals)] = Buffer.from(line.slice(equals + 1), 'latin1').toString('utf8');
      at = end + 1;
      continue;
    }
    const length = Number(entry.readBigUInt64LE(end + 1));
    fields[line] = entry.toString('utf8', end + 9, end + 9 + length);
    at = end + 9 + length + 1;
  }
  return fields;
}
