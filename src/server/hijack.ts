import { STATUS_CODES } from 'node:http';
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { frame } from '#api/stream-framing.ts';
import type { ClientStream, OutputStream } from '#engine/containers/attach-types.ts';
import { BatchedWriter } from './batched-writer.ts';
import type { Headers, HijackReply } from './reply.ts';

/** Input that the process has not taken yet, beyond which the client has to wait. */
const inputLimitBytes = 256 * 1024;

export interface Hijacked {
  readonly socket: Duplex;
  /** Bytes that came with the request's head. */
  readonly head: Uint8Array;
  /** Whether the client asked for `Upgrade: tcp`. */
  readonly upgrade: boolean;
}

/**
 * Gives the connection to the handler: after the head, bytes flow both ways until either the handler is done or the client has gone. The end of the
 * client's bytes is the end of input only; output goes on.
 */
export async function hijack(connection: Hijacked, reply: HijackReply, common: Headers): Promise<void> {
  const { socket } = connection;
  if (socket.destroyed) return;
  const gone = new AbortController();
  socket.once('close', () => gone.abort(new DOMException('the client has closed the connection', 'AbortError')));
  // What goes wrong with a connection ends in `close`; a listener must exist all the same.
  socket.on('error', () => undefined);

  socket.write(headText(connection.upgrade, reply, common));
  const writer = new BatchedWriter(socket);
  const client: ClientStream = {
    write: (stream: OutputStream, chunk: Uint8Array) => writer.append(reply.framed ? frame(stream, chunk) : chunk),
    input: readInput(socket, connection.head),
    gone: gone.signal,
  };
  try {
    await reply.run(client);
  } finally {
    await writer.flush();
    socket.end(() => socket.destroy());
  }
}

function headText(upgrade: boolean, reply: HijackReply, common: Headers): string {
  const shared = reply.commonHeaders ? formatHeaders(common) : '';
  return upgrade
    ? `HTTP/1.1 101 UPGRADED\r\nContent-Type: ${reply.contentType}\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n${shared}\r\n`
    : `HTTP/1.1 200 OK\r\nContent-Type: ${reply.rawContentType}\r\n${shared}\r\n`;
}

export const formatHeaders = (headers: Headers): string =>
  Object.entries(headers)
    .map(([name, value]) => `${name}: ${value}\r\n`)
    .join('');

/** An answer on a connection that asked for an upgrade and does not get one. */
export function sendRaw(socket: Duplex, status: number, headers: Headers, body: string): void {
  const all = {
    ...headers,
    ...(status === 204 || status === 304 ? {} : { 'Content-Length': String(Buffer.byteLength(body)) }),
    Connection: 'close',
  };
  socket.on('error', () => undefined);
  socket.end(`HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}\r\n${formatHeaders(all)}\r\n${body}`);
}

/** The bytes of a connection as they come, ending at the half-close. Reading slowly holds the client back. */
function readInput(socket: Duplex, head: Uint8Array): AsyncIterable<Uint8Array> {
  const queue: Uint8Array[] = head.length > 0 ? [head] : [];
  let queuedBytes = head.length;
  let ended = false;
  let wake: () => void = () => undefined;
  const end = (): void => {
    ended = true;
    wake();
  };
  socket.on('data', (chunk: Uint8Array) => {
    queue.push(chunk);
    queuedBytes += chunk.length;
    if (queuedBytes > inputLimitBytes) socket.pause();
    wake();
  });
  socket.once('end', end);
  socket.once('close', end);
  socket.resume();
  return {
    async *[Symbol.asyncIterator]() {
      for (;;) {
        const chunk = queue.shift();
        if (chunk !== undefined) {
          queuedBytes -= chunk.length;
          if (queuedBytes <= inputLimitBytes) socket.resume();
          yield chunk;
          continue;
        }
        if (ended) return;
        await new Promise<void>(resolve => {
          wake = resolve;
        });
      }
    },
  };
}

/** Takes a connection away from the HTTP server: nothing of it reads, answers or closes the socket from here on. */
export function detach(message: IncomingMessage): Duplex {
  const socket = message.socket;
  for (const event of ['data', 'end', 'close', 'error', 'drain', 'timeout']) socket.removeAllListeners(event);
  socket.setTimeout(0);
  return socket;
}
