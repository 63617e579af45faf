import type { Upstreams } from '#core/name-server.ts';
import { runInNamespace } from '#host/sys/netns.ts';
import { MessageReader, withLength } from './tcp-messages.ts';

const timeoutMs = 4000;
const dnsPort = 53;
const rcodeServfail = 2;
const rcodeNoName = 3;
const rcodeRefused = 5;

export interface ForwardOptions {
  readonly upstreams: Upstreams;
  readonly transport: 'udp' | 'tcp';
  /** From where servers are asked that the user gave for the container. */
  readonly namespacePath: string;
}

/**
 * Asks one server after the other and returns the first useful answer, unchanged; undefined when there is none. That there is no such name is final when
 * the server is the one to know (RFC 8020); others may know more.
 */
export async function forward(query: Uint8Array, { upstreams, transport, namespacePath }: ForwardOptions): Promise<Uint8Array | undefined> {
  let refused: Uint8Array | undefined;
  for (const server of upstreams.servers) {
    const ask = (): Promise<Uint8Array | undefined> => (transport === 'udp' ? askOverUdp(server, query) : askOverTcp(server, query));
    // Sockets belong to the namespace in which they are made, which happens before the first await.
    const answer = await (upstreams.from === 'container' ? runInNamespace(namespacePath, ask) : ask());
    if (answer === undefined) continue;
    const rcode = (answer[3] ?? 0) & 0xf;
    const isAuthoritative = ((answer[2] ?? 0) & 0x04) !== 0;
    if (rcode !== rcodeServfail && rcode !== rcodeRefused && (rcode !== rcodeNoName || isAuthoritative)) return answer;
    // What comes back in the end is the best of these: that there is no such name says more than that a server would not say.
    if (rcode === rcodeNoName || refused === undefined) refused = answer;
  }
  return refused;
}

/** A socket of its own for each question: an answer can be forged only by guessing its port too. */
function askOverUdp(server: string, query: Uint8Array): Promise<Uint8Array | undefined> {
  const { promise, resolve } = Promise.withResolvers<Uint8Array | undefined>();
  const timer = setTimeout(() => resolve(undefined), timeoutMs);
  const opening = Bun.udpSocket({
    connect: { hostname: server, port: dnsPort },
    socket: {
      data: (_socket, data) => {
        if (data[0] === query[0] && data[1] === query[1]) resolve(new Uint8Array(data));
      },
      error: () => resolve(undefined),
    },
  });
  void opening.then(
    socket => {
      socket.send(query);
      void promise.then(() => socket.close());
    },
    () => resolve(undefined),
  );
  void promise.then(() => clearTimeout(timer));
  return promise;
}

function askOverTcp(server: string, query: Uint8Array): Promise<Uint8Array | undefined> {
  const { promise, resolve } = Promise.withResolvers<Uint8Array | undefined>();
  const timer = setTimeout(() => resolve(undefined), timeoutMs);
  const reader = new MessageReader();
  const opening = Bun.connect({
    hostname: server,
    port: dnsPort,
    socket: {
      open: socket => void socket.write(withLength(query)),
      data: (_socket, data) => {
        for (const message of reader.read(data)) resolve(message);
      },
      close: () => resolve(undefined),
      error: () => resolve(undefined),
    },
  });
  void opening.then(
    socket => void promise.then(() => socket.end()),
    () => resolve(undefined),
  );
  void promise.then(() => clearTimeout(timer));
  return promise;
}
