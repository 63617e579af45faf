import { closeSync, existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { conflict, failedPrecondition, isErrno, messageOf } from '#base/errors.ts';
import type { Logger } from '#base/log.ts';
import type { HostListener, HostPorts } from '#core/host-ports.ts';
import { type Endpoint, endpoint, listenOn } from '#host/sys/inet-socket.ts';
import { listenerKey } from './protocol.ts';
import { ProxyConnection } from './proxy-connection.ts';

const fallbackRange = [49_153, 65_535] as const;
const restartMs = 1000;
const goneMs = 2000;

/** `execRoot`: where the control socket of the port proxy is; must not survive a boot. */
export function createHostPorts({ execRoot, log }: { readonly execRoot: string; readonly log: Logger }): HostPorts {
  const controlPath = join(execRoot, 'port-proxy.sock');
  const held = new Map<string, HostListener>();
  let proxy: ProxyConnection | undefined;
  let stopping = false;

  const attend = (connection: ProxyConnection): ProxyConnection => {
    proxy = connection;
    void connection.ended.then(() => {
      if (proxy === connection) proxy = undefined;
      if (!stopping && held.size > 0) setTimeout(resume, restartMs);
    });
    return connection;
  };
  const connection = (): ProxyConnection =>
    proxy ?? attend(ProxyConnection.connect(controlPath) ?? ProxyConnection.start(controlPath, log));

  /** After the proxy was killed: the ports are taken again by a new one. */
  const resume = (): void => {
    if (stopping || held.size === 0) return;
    log.warn('the port proxy has ended; starting another one', { ports: held.size });
    for (const listener of held.values()) {
      try {
        take(listener);
      } catch (err) {
        log.error('a published port could not be held again', { port: listenerKey(listener), error: messageOf(err) });
      }
    }
  };

  const take = (listener: HostListener): void => {
    // There is no way to hold an SCTP port that every kernel has: packet rules alone carry those.
    if (listener.protocol === 'sctp') return;
    const fds = openListener(listener);
    try {
      connection().hold(listener, fds);
    } catch (err) {
      for (const fd of fds) closeSync(fd);
      throw err;
    }
  };

  const ports: HostPorts = {
    ipv6: existsSync('/proc/net/if_inet6') && canListenOnIpv6(),
    ephemeralRange,
    reservedRanges,
    open(listener) {
      take(listener);
      held.set(listenerKey(listener), listener);
    },
    redirect(moves) {
      for (const { from, to } of moves) {
        if (!held.delete(listenerKey(from))) continue;
        held.set(listenerKey(to), to);
        if (to.protocol !== 'sctp') connection().redirect(listenerKey(from), to);
      }
    },
    async close(listeners) {
      const keys = listeners.map(listenerKey).filter(key => held.delete(key));
      if (keys.length > 0 && proxy !== undefined) await proxy.release(keys);
    },
    async reconcile(wanted) {
      const notes: string[] = [];
      for (const listener of wanted) held.set(listenerKey(listener), listener);
      const running = proxy ?? ProxyConnection.connect(controlPath);
      const present = new Set<string>();
      if (running !== undefined) {
        attend(running);
        const extra: string[] = [];
        for (const { listener, complete } of await running.list()) {
          const key = listenerKey(listener);
          if (complete && held.has(key)) present.add(key);
          else extra.push(key);
        }
        if (extra.length > 0) await running.release(extra);
        notes.push(...extra.map(key => `host port ${key}, which belongs to no container`));
      }
      for (const listener of wanted) {
        if (present.has(listenerKey(listener))) continue;
        try {
          take(listener);
        } catch (err) {
          log.error('a published port could not be held again', { port: listenerKey(listener), error: messageOf(err) });
        }
      }
      return notes;
    },
    async stop() {
      stopping = true;
      const last = proxy;
      if (last === undefined) return;
      await last.close();
      // It takes its socket away when it ends, which it does unless a container still needs it.
      const deadline = performance.now() + goneMs;
      while (held.size === 0 && existsSync(controlPath) && performance.now() < deadline) await Bun.sleep(5);
    },
  };
  return ports;
}

/** A descriptor for each port. */
function openListener(listener: HostListener): number[] {
  const { protocol, hostIp, hostPort, count, addresses, port } = listener;
  const kind = protocol === 'udp' ? 'udp' : 'tcp';
  const bothFamilies = hostIp === '*';
  const at: { address: Endpoint['address']; port: number } = endpoint(bothFamilies ? '::' : hostIp, hostPort);
  const fds: number[] = [];
  try {
    for (; fds.length < count; at.port += 1) fds.push(listenOn(kind, at, bothFamilies));
    return fds;
  } catch (err) {
    for (const fd of fds) closeSync(fd);
    const taken = bothFamilies ? takenAddress(kind, at.port) : hostIp;
    const host = taken.includes(':') ? `[${taken}]` : taken;
    const address = addresses[taken.includes(':') ? 6 : 4];
    const what = `failed to bind host port for ${host}:${String(at.port)}:${address}:${String(port + fds.length)}/${protocol}`;
    if (isErrno(err, 'EADDRINUSE')) throw conflict(`${what}: address already in use`, { cause: err });
    if (isErrno(err, 'EADDRNOTAVAIL')) throw failedPrecondition(`${what}: cannot assign requested address`, { cause: err });
    throw err;
  }
}

/** In which family somebody has a port that was asked for in both. */
function takenAddress(kind: 'tcp' | 'udp', port: number): string {
  try {
    closeSync(listenOn(kind, endpoint('0.0.0.0', port)));
    return '::';
  } catch {
    return '0.0.0.0';
  }
}

function canListenOnIpv6(): boolean {
  try {
    closeSync(listenOn('udp', endpoint('::1', 0)));
    return true;
  } catch {
    return false;
  }
}

function ephemeralRange(): readonly [number, number] {
  const text = readSetting('/proc/sys/net/ipv4/ip_local_port_range');
  const match = /^(\d+)\s+(\d+)$/.exec(text);
  return match === null ? fallbackRange : [Number(match[1]), Number(match[2])];
}

function reservedRanges(): (readonly [number, number])[] {
  const text = readSetting('/proc/sys/net/ipv4/ip_local_reserved_ports');
  return text === ''
    ? []
    : text.split(',').map(part => {
        const [first = '0', last = first] = part.split('-');
        return [Number(first), Number(last)] as const;
      });
}

function readSetting(path: string): string {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch {
    return '';
  }
}
