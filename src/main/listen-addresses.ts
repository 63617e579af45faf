import { readFileSync } from 'node:fs';
import { invalidArgument, messageOf } from '#base/errors.ts';
import type { Logger } from '#base/log.ts';
import type { ListenAddress, SocketOwner, TlsFiles } from '#server/listener.ts';
import type { DaemonOptions } from './daemon-options.ts';

const plainPort = 2375;
const tlsPort = 2376;

/** What `--host` and the TLS flags mean. TCP without TLS is refused unless the operator insisted, and then warned about. */
export function listenAddresses(options: DaemonOptions, log: Logger): ListenAddress[] {
  const tls = options.tls.enabled ? readTlsFiles(options.tls) : undefined;
  return options.hosts.map(host => {
    if (host.startsWith('unix://')) return { kind: 'unix', path: host.slice('unix://'.length) };
    if (tls === undefined && !options.allowInsecureTcp) {
      throw invalidArgument(
        `--host ${host}: without TLS whoever can connect is root on this machine; add --tlsverify with certificates, or --allow-insecure-tcp if that is what you want`,
      );
    }
    if (tls === undefined) log.warn('listening on TCP without TLS: whoever can connect is root on this machine', { host });
    else if (tls.clientCa === undefined) log.warn('listening on TCP without checking client certificates: use --tlsverify', { host });
    return { kind: 'tcp', ...parseTcp(host, tls === undefined ? plainPort : tlsPort), tls };
  });
}

function parseTcp(host: string, defaultPort: number): { host: string; port: number } {
  const match = /^tcp:\/\/(?:\[([^\]]+)\]|([^:]*))(?::(\d+))?$/.exec(host);
  const port = Number(match?.[3] ?? defaultPort);
  if (match === null || port > 65_535) throw invalidArgument(`invalid --host "${host}": expected tcp://address:port`);
  return { host: match[1] ?? (match[2] === '' ? '127.0.0.1' : (match[2] ?? '')), port };
}

function readTlsFiles(tls: DaemonOptions['tls']): TlsFiles {
  const read = (flag: string, path: string): string => {
    try {
      return readFileSync(path, 'utf8');
    } catch (err) {
      throw invalidArgument(`cannot read ${path} (${flag}): ${messageOf(err)}`, { cause: err });
    }
  };
  return {
    cert: read('--tlscert', tls.cert),
    key: read('--tlskey', tls.key),
    clientCa: tls.verify ? read('--tlscacert', tls.ca) : undefined,
  };
}

/** The group that may use unix sockets: the one asked for, which must exist, else `docker` where it does. */
export function socketOwner(options: DaemonOptions): SocketOwner {
  const wanted = options.group ?? 'docker';
  if (/^\d+$/.test(wanted)) return { gid: Number(wanted) };
  const line = readFileSync('/etc/group', 'utf8')
    .split('\n')
    .find(entry => entry.startsWith(`${wanted}:`));
  if (line === undefined && options.group !== undefined && options.group !== '') {
    throw invalidArgument(`--group ${options.group}: there is no such group; make it with: groupadd ${options.group}`);
  }
  return { gid: line === undefined ? undefined : Number(line.split(':')[2]) };
}
