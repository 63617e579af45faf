import type { Logger } from '#base/log.ts';
import type { NameLookup, NameServer, Upstreams } from '#core/name-server.ts';
import { runInNamespace } from '#host/sys/netns.ts';
import { openNftables } from '#host/sys/nftables.ts';
import { answerLocally, fitDatagram, formatError, isSingleLabel, nothingKnown, parseQuery, serverFailure } from './answer.ts';
import { AnswerCache, answerTo, questionKey } from './cache.ts';
import { forward } from './forward.ts';
import { MessageReader, withLength } from './tcp-messages.ts';

const address = '127.0.0.11';
const table = 'berth_resolver';
const mostConcurrent = 1024;
const idleSeconds = 10;

interface Served {
  readonly tcp: { stop(closeActive?: boolean): void; readonly port: number };
  readonly udp: { close(): void; readonly port: number };
}

type Ask = (bytes: Uint8Array, transport: 'udp' | 'tcp') => Promise<Uint8Array | undefined>;

/**
 * Sockets of the daemon inside each container's network namespace: who asks is known by where the question arrives, and nobody outside can ask.
 * They are on ports of their own, so that the container can have port 53 itself; packet rules of the namespace lead port 53 of the resolver's
 * address there. While the daemon is dead questions are refused at once; the next daemon serves again.
 */
export function createNameServer({ lookup, log }: { readonly lookup: NameLookup; readonly log: Logger }): NameServer {
  const served = new Map<string, Served>();
  const cache = new AnswerCache();
  /** Questions under way to other servers. */
  const asked = new Map<string, Promise<Uint8Array | undefined>>();
  let asking = 0;

  const asker =
    (containerId: string, namespacePath: string): Ask =>
    async (bytes, transport) => {
      const query = parseQuery(bytes);
      if (query === undefined) return formatError(bytes);
      const local = answerLocally(query, containerId, lookup);
      if (local !== undefined) return transport === 'udp' ? fitDatagram(query, local) : local;
      const upstreams = lookup.upstreams(containerId);
      if (upstreams.keepsSingleLabels && isSingleLabel(query)) return nothingKnown(query);
      const key = answerKey(bytes, transport, upstreams, containerId);
      const known = key === undefined ? undefined : cache.get(key, bytes);
      if (known !== undefined) return known;
      // Whoever asks the same at the same time gets the same answer.
      const underWay = key === undefined ? undefined : asked.get(key);
      if (underWay === undefined && asking >= mostConcurrent) return serverFailure(query);
      asking += 1;
      try {
        const answering = underWay ?? forward(bytes, { upstreams, transport, namespacePath });
        if (key !== undefined) asked.set(key, answering);
        const answer = await answering;
        if (answer === undefined) return serverFailure(query);
        if (key !== undefined && underWay === undefined) cache.put(key, answer);
        return answerTo(bytes, answer);
      } catch (err) {
        log.debug('could not forward a DNS question', { container: containerId, name: query.name, error: err });
        return serverFailure(query);
      } finally {
        asking -= 1;
        if (key !== undefined) asked.delete(key);
      }
    };

  const stop = (containerId: string): void => {
    const sockets = served.get(containerId);
    served.delete(containerId);
    sockets?.tcp.stop(true);
    sockets?.udp.close();
  };

  return {
    async serve(containerId, namespacePath) {
      if (served.has(containerId)) return;
      const ask = asker(containerId, namespacePath);
      const { tcp, opening } = runInNamespace(namespacePath, () => ({ tcp: listenTcp(ask), opening: openUdp(ask) }));
      try {
        const udp = await opening;
        runInNamespace(namespacePath, () => redirect(udp.port, tcp.port));
        served.set(containerId, { tcp, udp });
      } catch (err) {
        tcp.stop(true);
        void opening.then(udp => udp.close());
        throw err;
      }
    },
    stop,
    close: () => [...served.keys()].forEach(stop),
  };
}

/** Servers that are asked from inside a container may be others than those of the same address elsewhere. */
function answerKey(query: Uint8Array, transport: string, { servers, from }: Upstreams, containerId: string): string | undefined {
  const question = questionKey(query);
  return question === undefined ? undefined : [transport, from === 'host' ? '' : containerId, ...servers, question].join(' ');
}

function openUdp(ask: Ask) {
  return Bun.udpSocket({
    hostname: address,
    port: 0,
    socket: {
      data(socket, data, port, from) {
        void ask(new Uint8Array(data), 'udp').then(answer => {
          if (answer !== undefined && !socket.closed) socket.send(answer, port, from);
        });
      },
    },
  });
}

function listenTcp(ask: Ask) {
  return Bun.listen<MessageReader>({
    hostname: address,
    port: 0,
    socket: {
      open(socket) {
        socket.data = new MessageReader();
        socket.timeout(idleSeconds);
      },
      data(socket, data) {
        for (const message of socket.data.read(data)) {
          void ask(message, 'tcp').then(answer => {
            if (answer !== undefined) socket.write(withLength(answer));
          });
        }
      },
      timeout: socket => void socket.end(),
    },
  });
}

function redirect(udpPort: number, tcpPort: number): void {
  const rules = `table ip ${table} {
  chain output {
    type nat hook output priority -100; policy accept;
    ip daddr ${address} udp dport 53 dnat to ${address}:${String(udpPort)}
    ip daddr ${address} tcp dport 53 dnat to ${address}:${String(tcpPort)}
  }
}
`;
  using nftables = openNftables();
  try {
    nftables.run(`create table ip ${table}\n${rules}`);
  } catch {
    // An earlier daemon led the port elsewhere. Not tried first, because closing a socket after a deletion waits for the kernel's clean-up.
    nftables.run(`delete table ip ${table}\n${rules}`);
  }
}
