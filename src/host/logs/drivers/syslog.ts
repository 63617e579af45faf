import { readFileSync, statSync } from 'node:fs';
import { hostname } from 'node:os';
import { invalidArgument, isErrno, unavailable } from '#base/errors.ts';
import type { LogSubject } from '#core/logs.ts';
import { attributeOptions } from '../attributes.ts';
import type { StreamName, TakePiece } from '../capture/pieces.ts';
import { defaultTag, renderTag } from '../tag.ts';
import { Connection, streamDoubtMs, type StreamAddress } from './connection.ts';
import { type DatagramSender, UdpSender, UnixDatagramSender } from './datagrams.ts';
import type { DriverTools, LogDriver, Receiver } from './driver.ts';
import { textOfUrl } from './url.ts';

type Config = Readonly<Record<string, string>>;

const options: readonly string[] = [
  ...attributeOptions,
  'syslog-address',
  'syslog-facility',
  'syslog-format',
  'syslog-tls-ca-cert',
  'syslog-tls-cert',
  'syslog-tls-key',
  'syslog-tls-skip-verify',
];

export const syslog: LogDriver = {
  name: 'syslog',
  check(config) {
    for (const key of Object.keys(config)) {
      if (!options.includes(key)) throw invalidArgument(`unknown log opt '${key}' for syslog log driver`);
    }
    parseAddress(config['syslog-address'] ?? '');
    parseFacility(config['syslog-facility'] ?? '');
    parseFormat(config['syslog-format'] ?? '');
  },
  open: (subject, tools) => new SyslogReceiver(subject, tools),
};

type Address =
  | { readonly scheme: 'local' }
  | { readonly scheme: 'unix' | 'unixgram'; readonly path: string }
  | { readonly scheme: 'udp' | 'tcp' | 'tcp+tls'; readonly host: string; readonly port: number };

const defaultPort = 514;
const localSockets = ['/dev/log', '/var/run/syslog', '/var/run/log'];

function parseAddress(text: string): Address {
  if (text === '') return { scheme: 'local' };
  const { scheme, host, port, path } = textOfUrl(text);
  switch (scheme) {
    case 'unix':
    case 'unixgram':
      try {
        statSync(path);
      } catch (err) {
        if (isErrno(err, 'ENOENT', 'ENOTDIR')) throw invalidArgument(`stat ${path}: no such file or directory`, { cause: err });
        throw err;
      }
      return { scheme, path };
    case 'udp':
    case 'tcp':
    case 'tcp+tls':
      return { scheme, host, port: port ?? defaultPort };
    default:
      throw invalidArgument(`unsupported scheme: '${scheme}'`);
  }
}

const facilities = [
  ...['kern', 'user', 'mail', 'daemon', 'auth', 'syslog', 'lpr', 'news', 'uucp', 'cron', 'authpriv', 'ftp'],
  // 12 to 15 have no name.
  ...['', '', '', '', 'local0', 'local1', 'local2', 'local3', 'local4', 'local5', 'local6', 'local7'],
];
const daemonFacility = 3;

function parseFacility(text: string): number {
  if (text === '') return daemonFacility;
  const number = /^\+?\d+$/.test(text) ? Number(text) : facilities.indexOf(text);
  if (number < 0 || number >= facilities.length) throw invalidArgument('invalid syslog facility');
  return number;
}

type Format = '' | 'rfc3164' | 'rfc5424' | 'rfc5424micro';

function parseFormat(text: string): Format {
  const found = (['', 'rfc3164', 'rfc5424', 'rfc5424micro'] as const).find(format => format === text);
  if (found === undefined) throw invalidArgument('Invalid syslog format');
  return found;
}

const severities: Readonly<Record<StreamName, number>> = { stdout: 6, stderr: 3 };

class SyslogReceiver implements Receiver {
  readonly doubtMs?: number;
  readonly #format: Format;
  readonly #facility: number;
  readonly #tag: string;
  readonly #countsLength: boolean;
  readonly #hostname = hostname();
  readonly #stream: Connection | undefined;
  readonly #datagrams: DatagramSender | undefined;
  #messages: Buffer[] = [];

  constructor(subject: LogSubject, { render }: DriverTools) {
    const { config } = subject.logConfig;
    const address = parseAddress(config['syslog-address'] ?? '');
    this.#format = parseFormat(config['syslog-format'] ?? '');
    this.#facility = parseFacility(config['syslog-facility'] ?? '');
    this.#tag = renderTag(subject, defaultTag, render);
    this.#countsLength = address.scheme === 'tcp+tls' && this.#format.startsWith('rfc5424');
    this.#datagrams = datagramsTo(address);
    if (this.#datagrams === undefined) {
      this.#stream = new Connection(streamTo(address, config));
      this.doubtMs = streamDoubtMs;
    }
  }

  /** Empty lines are left out, as by Docker. */
  readonly take: TakePiece = (stream, time, text) => {
    if (text === '') return;
    const priority = this.#facility * 8 + severities[stream];
    const head = Buffer.from(`<${String(priority)}>${this.#head(new Date(`${time.slice(0, 23)}Z`), time)}`, 'utf8');
    const message = Buffer.concat([head, Buffer.from(text, 'latin1'), newline]);
    this.#messages.push(this.#countsLength ? Buffer.concat([Buffer.from(`${String(message.length)} `), message]) : message);
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
    if (this.#stream !== undefined) await this.#stream.write(Buffer.concat(messages), signal);
    else await this.#datagrams?.send(messages, signal);
  }

  async close(): Promise<void> {
    (this.#stream ?? this.#datagrams)?.close();
  }

  #head(date: Date, time: string): string {
    switch (this.#format) {
      case '':
        return `${stamp(date)} ${this.#tag}[${String(process.pid)}]: `;
      case 'rfc3164':
        return `${stamp(date)} ${this.#hostname} ${this.#tag}[${String(process.pid)}]: `;
      case 'rfc5424':
      case 'rfc5424micro': {
        const fraction = this.#format === 'rfc5424' ? '' : time.slice(19, 26);
        return `1 ${localTime(date)}${fraction}${zone(date)} ${this.#hostname} ${this.#tag} ${String(process.pid)} ${this.#tag} - `;
      }
    }
  }
}

const newline = Buffer.from('\n');

function datagramsTo(address: Address): DatagramSender | undefined {
  if (address.scheme === 'local') return new UnixDatagramSender(localSockets);
  if (address.scheme === 'unixgram') return new UnixDatagramSender([address.path]);
  return address.scheme === 'udp' ? new UdpSender(address.host, address.port) : undefined;
}

function streamTo(address: Address, config: Config): StreamAddress {
  if (address.scheme === 'unix') return { kind: 'unix', path: address.path };
  if (address.scheme === 'tcp') return { kind: 'tcp', host: address.host, port: address.port };
  if (address.scheme !== 'tcp+tls') throw invalidArgument(`unsupported scheme: '${address.scheme}'`);
  return { kind: 'tls', host: address.host, port: address.port, options: () => tlsOptions(config) };
}

function tlsOptions(config: Config): { ca?: Buffer; cert?: Buffer; key?: Buffer; rejectUnauthorized: boolean } {
  const read = (path: string | undefined): Buffer | undefined => {
    if (path === undefined || path === '') return undefined;
    try {
      return readFileSync(path);
    } catch (err) {
      throw unavailable(`could not read TLS file ${path}`, { cause: err });
    }
  };
  const ca = read(config['syslog-tls-ca-cert']);
  const cert = read(config['syslog-tls-cert']);
  const key = read(config['syslog-tls-key']);
  return {
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
    // Given at all means yes, whatever its value.
    rejectUnauthorized: !('syslog-tls-skip-verify' in config),
  };
}

const months = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];
const two = (value: number): string => String(value).padStart(2, '0');
const clock = (date: Date): string => `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;

/** `Jan  2 15:04:05` */
const stamp = (date: Date): string => `${months[date.getMonth()] ?? ''} ${String(date.getDate()).padStart(2)} ${clock(date)}`;

const localTime = (date: Date): string => `${String(date.getFullYear())}-${two(date.getMonth() + 1)}-${two(date.getDate())}T${clock(date)}`;

function zone(date: Date): string {
  const minutes = -date.getTimezoneOffset();
  if (minutes === 0) return 'Z';
  const size = Math.abs(minutes);
  return `${minutes < 0 ? '-' : '+'}${two(Math.floor(size / 60))}:${two(size % 60)}`;
}
