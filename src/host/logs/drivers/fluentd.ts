import { randomBytes } from 'node:crypto';
import { invalidArgument, messageOf } from '#base/errors.ts';
import type { LogSubject } from '#core/logs.ts';
import { attributeOptions, chosenAttributes } from '../attributes.ts';
import type { TakePiece } from '../capture/pieces.ts';
import { parseBinarySize, parseDurationMs, requireBoolean } from '../options.ts';
import { defaultTag, renderTag } from '../tag.ts';
import { Connection, streamDoubtMs, type StreamAddress } from './connection.ts';
import type { DriverTools, LogDriver, Receiver } from './driver.ts';
import { AckReader, MsgpackWriter } from './msgpack.ts';
import { textOfUrl } from './url.ts';

type Config = Readonly<Record<string, string>>;

const options: readonly string[] = [
  ...attributeOptions,
  'fluentd-address',
  'fluentd-async',
  'fluentd-async-reconnect-interval',
  'fluentd-buffer-limit',
  'fluentd-max-retries',
  'fluentd-request-ack',
  'fluentd-retry-wait',
  'fluentd-sub-second-precision',
  'fluentd-write-timeout',
  'fluentd-read-timeout',
];

export const fluentd: LogDriver = {
  name: 'fluentd',
  check(config) {
    for (const key of Object.keys(config)) {
      if (!options.includes(key)) throw invalidArgument(`unknown log opt '${key}' for fluentd log driver`);
    }
    parseConfig(config);
  },
  open: (subject, tools) => new FluentdReceiver(subject, tools),
  mustConnect: config => (config['fluentd-async'] ?? '') !== '' && !requireBoolean(config['fluentd-async'] ?? ''),
  retry(config) {
    const { retryWaitMs, maxRetries } = parseConfig(config);
    return { firstMs: retryWaitMs, most: maxRetries };
  },
};

interface FluentdConfig {
  readonly address: StreamAddress;
  readonly retryWaitMs: number;
  readonly maxRetries: number | undefined;
  readonly subSecondPrecision: boolean;
  readonly requestAck: boolean;
  readonly writeTimeoutMs: number;
  readonly readTimeoutMs: number;
}

const defaultHost = '127.0.0.1';
const defaultPort = 24_224;
const defaultRetryWaitMs = 1000;
const mostRetries = 2 ** 31 - 1;
const shortestReconnectMs = 100;
const longestReconnectMs = 10_000;

function parseConfig(config: Config): FluentdConfig {
  const given = (name: string): string | undefined => (config[name] === '' ? undefined : config[name]);
  const flag = (name: string): boolean => given(name) !== undefined && requireBoolean(given(name) ?? '');
  const address = parseAddress(config['fluentd-address'] ?? '');
  const bufferLimit = given('fluentd-buffer-limit');
  if (bufferLimit !== undefined) parseBinarySize(bufferLimit);
  const retryWait = given('fluentd-retry-wait');
  const maxRetries = given('fluentd-max-retries');
  flag('fluentd-async');
  checkReconnect(given('fluentd-async-reconnect-interval'));
  return {
    address,
    retryWaitMs: retryWait === undefined ? defaultRetryWaitMs : parseDurationMs(retryWait),
    maxRetries: maxRetries === undefined ? undefined : parseRetries(maxRetries),
    subSecondPrecision: flag('fluentd-sub-second-precision'),
    requestAck: flag('fluentd-request-ack'),
    writeTimeoutMs: timeout('fluentd-write-timeout', given('fluentd-write-timeout')),
    readTimeoutMs: timeout('fluentd-read-timeout', given('fluentd-read-timeout')),
  };
}

function parseRetries(text: string): number {
  if (!/^\d+$/.test(text)) throw invalidArgument(`strconv.ParseUint: parsing ${JSON.stringify(text)}: invalid syntax`);
  const count = Number(text);
  if (count > 2 ** 32 - 1) throw invalidArgument(`strconv.ParseUint: parsing ${JSON.stringify(text)}: value out of range`);
  if (count > mostRetries) throw invalidArgument('invalid fluentd-max-retries: value out of range');
  return count;
}

function checkReconnect(text: string | undefined): void {
  if (text === undefined) return;
  const name = 'fluentd-async-reconnect-interval';
  const interval = duration(text, `invalid value for ${name}`);
  if (interval !== 0 && (interval < shortestReconnectMs || interval > longestReconnectMs)) {
    throw invalidArgument(`invalid value for ${name}: value (${JSON.stringify(text)}) must be between 100ms and 10s`);
  }
}

function timeout(name: string, text: string | undefined): number {
  if (text === undefined) return 0;
  const value = duration(text, `invalid value for ${name}: value must be a duration`);
  if (value < 0) throw invalidArgument(`invalid value for ${name}: value must be a duration that is non-negative`);
  return value;
}

function duration(text: string, what: string): number {
  try {
    return parseDurationMs(text);
  } catch (err) {
    throw invalidArgument(`${what}: ${messageOf(err)}`, { cause: err });
  }
}

function parseAddress(text: string): StreamAddress {
  if (text === '') return { kind: 'tcp', host: defaultHost, port: defaultPort };
  try {
    const { scheme, host, port, path } = textOfUrl(text.includes('://') ? text : `tcp://${text}`);
    if (scheme === 'unix') {
      if (path.replace(/^\/+/, '') === '') throw invalidArgument('path is empty');
      return { kind: 'unix', path };
    }
    if (scheme !== 'tcp' && scheme !== 'tls') throw invalidArgument(`unsupported scheme: '${scheme}'`);
    if (path !== '') throw invalidArgument('should not contain a path element');
    const place = { host: host === '' ? defaultHost : host, port: port ?? defaultPort };
    return scheme === 'tcp' ? { kind: 'tcp', ...place } : { kind: 'tls', ...place, options: () => ({}) };
  } catch (err) {
    throw invalidArgument(`invalid fluentd-address (${text}): ${messageOf(err)}`, { cause: err });
  }
}

class FluentdReceiver implements Receiver {
  readonly doubtMs?: number;
  readonly #config: FluentdConfig;
  readonly #connection: Connection;
  readonly #tag: string;
  readonly #fields: readonly (readonly [name: string, value: string])[];
  #messages: Buffer[] = [];
  #awaited = new Set<string>();
  #acknowledged: (() => void) | undefined;
  #acks = new AckReader();

  constructor(subject: LogSubject, { render }: DriverTools) {
    this.#config = parseConfig(subject.logConfig.config);
    const { address, writeTimeoutMs, requestAck } = this.#config;
    this.#connection = new Connection(address, { writeTimeoutMs, onData: chunk => this.#onData(chunk) });
    this.#tag = bytesOf(renderTag(subject, defaultTag, render));
    const fields = { container_id: subject.id, container_name: `/${subject.name}`, ...chosenAttributes(subject) };
    this.#fields = Object.entries(fields).map(([name, value]) => [bytesOf(name), bytesOf(value)]);
    // What was acknowledged has arrived.
    if (!requestAck) this.doubtMs = streamDoubtMs;
  }

  readonly take: TakePiece = (stream, time, text, part) => {
    const fields: (readonly [string, string])[] = [...this.#fields, ['source', stream], ['log', text]];
    if (part !== undefined) {
      fields.push(['partial_message', 'true'], ['partial_id', part.id]);
      fields.push(['partial_ordinal', String(part.ordinal)], ['partial_last', String(part.isLast)]);
    }
    const writer = new MsgpackWriter().array(4).text(this.#tag);
    const seconds = Math.floor(Date.parse(`${time.slice(0, 19)}Z`) / 1000);
    if (this.#config.subSecondPrecision) writer.eventTime(seconds, Number(time.slice(20, 29)));
    else writer.integer(seconds);
    writer.map(fields.length);
    for (const [name, value] of fields) writer.text(name).text(value);
    if (this.#config.requestAck) {
      const chunk = randomBytes(16).toString('base64');
      this.#awaited.add(chunk);
      writer.map(1).text('chunk').text(chunk);
    } else writer.map(0);
    this.#messages.push(writer.finish());
  };

  onLost(callback: () => void): void {
    this.#connection.onLost(() => {
      this.#acks = new AckReader();
      callback();
    });
  }

  async connect(signal: AbortSignal): Promise<void> {
    await this.#connection.connect(signal);
  }

  async flush(signal: AbortSignal): Promise<void> {
    const messages = this.#messages;
    this.#messages = [];
    if (messages.length === 0) return;
    try {
      await this.#connection.write(Buffer.concat(messages), signal);
      if (this.#awaited.size === 0) return;
      await this.#connection.race(signal, this.#config.readTimeoutMs, done => {
        this.#acknowledged = done;
        if (this.#awaited.size === 0) done();
      });
    } finally {
      this.#awaited = new Set();
      this.#acknowledged = undefined;
    }
  }

  async close(): Promise<void> {
    this.#connection.close();
  }

  #onData(chunk: Buffer): void {
    for (const ack of this.#acks.push(chunk)) this.#awaited.delete(ack);
    if (this.#awaited.size === 0) this.#acknowledged?.();
  }
}

const bytesOf = (text: string): string => Buffer.from(text, 'utf8').toString('latin1');
