import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
import { deflateSync, gzipSync } from 'node:zlib';
import { invalidArgument } from '#base/errors.ts';
import type { LogSubject } from '#core/logs.ts';
import { attributeOptions, chosenAttributes } from '../attributes.ts';
import type { TakePiece } from '../capture/pieces.ts';
import { commandOf, defaultTag, renderTag } from '../tag.ts';
import { Connection, streamDoubtMs } from './connection.ts';
import { UdpSender } from './datagrams.ts';
import type { DriverTools, LogDriver, Receiver } from './driver.ts';
import { textOfUrl } from './url.ts';

type Config = Readonly<Record<string, string>>;

export const gelf: LogDriver = {
  name: 'gelf',
  check: checkOptions,
  open: (subject, tools) => new GelfReceiver(subject, tools),
  retry(config) {
    const { 'gelf-tcp-max-reconnect': most, 'gelf-tcp-reconnect-delay': delay } = config;
    return { firstMs: delay === undefined ? defaultDelayMs : Number(delay) * 1000, most: most === undefined ? undefined : Number(most) };
  },
};

const defaultDelayMs = 1000;

function checkOptions(config: Config): void {
  const { scheme } = parseAddress(config['gelf-address'] ?? '');
  for (const [key, value] of Object.entries(config)) {
    switch (key) {
      case 'gelf-address':
        break;
      case 'gelf-compression-level':
        requireUdp(scheme);
        if (!/^[+-]?\d+$/.test(value) || Number(value) < -1 || Number(value) > 9) throw unknownValue(key, value);
        break;
      case 'gelf-compression-type':
        requireUdp(scheme);
        if (!['gzip', 'zlib', 'none'].includes(value)) throw unknownValue(key, value);
        break;
      case 'gelf-tcp-max-reconnect':
      case 'gelf-tcp-reconnect-delay':
        if (scheme !== 'tcp') throw invalidArgument(`${JSON.stringify(key)} is only valid for TCP`);
        if (!/^\+?\d+$/.test(value)) throw invalidArgument(`${JSON.stringify(key)} must be a positive integer`);
        break;
      default:
        if (!attributeOptions.some(name => name === key))
          throw invalidArgument(`unknown log opt ${JSON.stringify(key)} for gelf log driver`);
    }
  }
}

function requireUdp(scheme: string): void {
  if (scheme !== 'udp') throw invalidArgument('compression is only supported on UDP');
}

const unknownValue = (key: string, value: string): Error =>
  invalidArgument(`unknown value ${JSON.stringify(value)} for log opt ${JSON.stringify(key)} for gelf log driver`);

function parseAddress(text: string): { readonly scheme: 'udp' | 'tcp'; readonly host: string; readonly port: number } {
  if (text === '') throw invalidArgument('gelf-address is a required parameter');
  const { scheme, host, port } = textOfUrl(text);
  if (scheme !== 'udp' && scheme !== 'tcp') throw invalidArgument('gelf: endpoint needs to be TCP or UDP');
  if (port === undefined) throw invalidArgument('gelf: please provide gelf-address as proto://host:port');
  return { scheme, host: host === '' ? 'localhost' : host, port };
}

const levels = { stdout: 6, stderr: 3 } as const;
const end = Buffer.from([0]);

class GelfReceiver implements Receiver {
  readonly doubtMs?: number;
  readonly #compress: (json: Buffer) => Uint8Array;
  readonly #stream: Connection | undefined;
  readonly #datagrams: UdpSender | undefined;
  readonly #hostname = hostname();
  /** The fields that every message ends with, without the braces. */
  readonly #extra: string;
  #messages: Buffer[] = [];

  constructor(subject: LogSubject, { render }: DriverTools) {
    const { config } = subject.logConfig;
    const { scheme, host, port } = parseAddress(config['gelf-address'] ?? '');
    this.#compress = compression(config);
    if (scheme === 'udp') this.#datagrams = new UdpSender(host, port);
    else {
      this.#stream = new Connection({ kind: 'tcp', host, port });
      this.doubtMs = streamDoubtMs;
    }
    const extra: Record<string, string> = {
      _command: commandOf(subject),
      _container_id: subject.id,
      _container_name: subject.name,
      _created: subject.created,
      _image_id: subject.imageId,
      _image_name: subject.imageName,
      _tag: renderTag(subject, defaultTag, render),
      ...chosenAttributes(subject, name => (name.startsWith('_') ? name : `_${name}`)),
    };
    this.#extra = JSON.stringify(extra).slice(1, -1);
  }

  /** Empty lines are left out: a message without a text is none. */
  readonly take: TakePiece = (stream, time, text) => {
    if (text === '') return;
    const line = JSON.stringify(Buffer.from(text, 'latin1').toString('utf8'));
    const seconds = Date.parse(`${time.slice(0, 23)}Z`) / 1000;
    const head = `{"version":"1.1","host":${JSON.stringify(this.#hostname)},"short_message":${line}`;
    this.#messages.push(Buffer.from(`${head},"timestamp":${String(seconds)},"level":${String(levels[stream])},${this.#extra}}`));
  };

  onLost(callback: () => void): void {
    this.#stream?.onLost(callback);
  }

  async connect(signal: AbortSignal): Promise<void> {
    await (this.#stream ?? this.#datagrams)?.connect(signal);
  }

  async flush(signal: AbortSignal): Promise<void> {
    const messages = this.#messages;
    this.#messages = [];
    if (messages.length === 0) return;
    if (this.#stream !== undefined) await this.#stream.write(Buffer.concat(messages.flatMap(message => [message, end])), signal);
    else
      await this.#datagrams?.send(
        messages.flatMap(message => chunksOf(this.#compress(message))),
        signal,
      );
  }

  async close(): Promise<void> {
    (this.#stream ?? this.#datagrams)?.close();
  }
}

const fastest = 1;

function compression(config: Config): (json: Buffer) => Uint8Array {
  const level = Number(config['gelf-compression-level'] ?? fastest);
  switch (config['gelf-compression-type']) {
    case 'none':
      return json => json;
    case 'zlib':
      return json => deflateSync(json, { level });
    default:
      return json => gzipSync(json, { level });
  }
}

const chunkBytes = 1420;
const chunkHeadBytes = 12;
const mostChunks = 128;
const chunkMagic = [0x1e, 0x0f];

/** A message in datagrams: in one, or in chunks that a receiver puts together. One that needs too many is left out, as by Docker. */
export function chunksOf(message: Uint8Array): Uint8Array[] {
  if (message.length <= chunkBytes) return [message];
  const size = chunkBytes - chunkHeadBytes;
  const count = Math.ceil(message.length / size);
  if (count > mostChunks) return [];
  const id = randomBytes(8);
  return Array.from({ length: count }, (_, at) =>
    Buffer.concat([Buffer.from(chunkMagic), id, Buffer.from([at, count]), message.subarray(at * size, (at + 1) * size)]),
  );
}
