import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { eventually } from './eventually.ts';
import { cached } from './paths.ts';
import { freePort } from './registry.ts';

export interface RsyslogOptions {
  /** Listens with TLS on `tlsPort`. */
  readonly tls?: { readonly ca: string; readonly cert: string; readonly key: string };
}

/** A message as rsyslog understood it. */
export interface SyslogMessage {
  readonly facility: string;
  readonly severity: string;
  readonly hostname: string;
  readonly tag: string;
  readonly time: string;
  readonly text: string;
}

/** Debian's rsyslogd, unpacked but not installed, with a configuration, sockets and ports of its own. */
export class Rsyslog implements AsyncDisposable {
  readonly folder: string;
  readonly tcpPort: number;
  readonly udpPort: number;
  readonly tlsPort: number;
  readonly #options: RsyslogOptions;
  #child: Bun.Subprocess | undefined;

  private constructor(folder: string, ports: readonly number[], options: RsyslogOptions) {
    this.folder = folder;
    [this.tcpPort = 0, this.udpPort = 0, this.tlsPort = 0] = ports;
    this.#options = options;
  }

  /** Not started yet. */
  static async prepare(options: RsyslogOptions = {}): Promise<Rsyslog> {
    return new Rsyslog(await mkdtemp('/tmp/berth-y-'), [await freePort(), await freePort(), await freePort()], options);
  }

  static async run(options: RsyslogOptions = {}): Promise<Rsyslog> {
    const rsyslog = await Rsyslog.prepare(options);
    await rsyslog.start();
    return rsyslog;
  }

  /** A unix datagram socket. */
  get socketPath(): string {
    return join(this.folder, 'log.sock');
  }

  async start(): Promise<void> {
    await Bun.write(join(this.folder, 'rsyslog.conf'), this.#configuration());
    const libraries = cached('rsyslog/usr/lib/x86_64-linux-gnu');
    const log = Bun.file(join(this.folder, 'rsyslog.log'));
    // -x: no look-up of the names of senders.
    const command = ['-n', '-x', '-f', join(this.folder, 'rsyslog.conf'), '-i', join(this.folder, 'pid'), '-M', join(libraries, 'rsyslog')];
    this.#child = Bun.spawn([cached('rsyslog/usr/sbin/rsyslogd'), ...command], {
      stdio: ['ignore', log, log],
      env: { LD_LIBRARY_PATH: libraries, PATH: process.env.PATH ?? '' },
    });
    await eventually('rsyslogd listens', async () => {
      if (this.#child?.exitCode !== null) throw new Error(`rsyslogd ended: ${await log.text()}`);
      return existsSync(this.socketPath) && (await accepts(this.tcpPort));
    });
  }

  /** Ends it at once. */
  async kill(): Promise<void> {
    this.#child?.kill('SIGKILL');
    await this.#child?.exited;
    await rm(this.socketPath, { force: true });
  }

  messages(): SyslogMessage[] {
    const path = join(this.folder, 'messages');
    if (!existsSync(path)) return [];
    const lines = readFileSync(path, 'utf8').split('\n').slice(0, -1);
    return lines.map(line => JSON.parse(line) as SyslogMessage);
  }

  texts(): string[] {
    return this.messages().map(({ text }) => text);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    await rm(this.folder, { recursive: true, force: true });
  }

  #configuration(): string {
    const { tls } = this.#options;
    const field = (name: string, property: string): string => `\\"${name}\\":\\"%${property}:::json%\\"`;
    const fields = [
      field('facility', 'syslogfacility-text'),
      field('severity', 'syslogseverity-text'),
      field('hostname', 'hostname'),
      field('tag', 'syslogtag'),
      field('time', 'timereported:::date-rfc3339').replace(':::json', ''),
      field('text', 'msg'),
    ];
    const tlsFiles =
      tls === undefined
        ? ''
        : `global(DefaultNetstreamDriverCAFile="${tls.ca}" DefaultNetstreamDriverCertFile="${tls.cert}" DefaultNetstreamDriverKeyFile="${tls.key}")
module(load="imtcp")
input(type="imtcp" address="127.0.0.1" port="${String(this.tlsPort)}" streamDriver.name="ossl" streamDriver.mode="1" streamDriver.authMode="anon")
`;
    return `global(workDirectory="${this.folder}" maxMessageSize="64k" parser.escapeControlCharactersOnReceive="off")
module(load="imuxsock" sysSock.use="off")
module(load="imudp")
module(load="imptcp")
input(type="imuxsock" socket="${this.socketPath}" createPath="off" rateLimit.interval="0")
input(type="imudp" address="127.0.0.1" port="${String(this.udpPort)}")
input(type="imptcp" address="127.0.0.1" port="${String(this.tcpPort)}")
${tlsFiles}template(name="line" type="string" string="{${fields.join(',')}}\\n")
action(type="omfile" file="${this.folder}/messages" template="line" flushOnTXEnd="on" asyncWriting="off")
`;
  }
}

async function accepts(port: number): Promise<boolean> {
  try {
    const socket = await Bun.connect({ hostname: '127.0.0.1', port, socket: { data: () => undefined } });
    socket.end();
    return true;
  } catch {
    return false;
  }
}
