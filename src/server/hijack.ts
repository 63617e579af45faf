import { STATUS_CODES } from 'node:http';
import type { Duplex } from 'node:stream';
import { frame } from '#api/stream-framing.ts';
import type { ClientStream, OutputStream } from '#engine/containers/attach-types.ts';
import { BatchedWriter } from './batched-writer.ts';
import type { Headers, HijackReply } from './reply.ts';
import { closeFrame, dataFrame, isClose, readFrames } from './websocket.ts';

/** Input that the process has not taken yet, beyond which the client has to wait. */
const inputLimitBytes = 256 * 1024;
/** How often a client that sends no more is looked after. */
const peerCheckMs = 2_000;

export interface Hijacked {
  readonly socket: Duplex;
  /** Bytes that came with the request's head. */
  readonly head: Uint8Array;
  /** Whether the client asked for `Upgrade: tcp`. */
  readonly upgrade: boolean;
  /** Whether the client has closed both directions, as far as can be told. */
  readonly isPeerGone: () => boolean;
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
  const { websocket } = reply;
  const input = readInput(socket, connection.head);
  /** Nothing follows a close frame. */
  let isClosed = false;
  const answer = (bytes: Uint8Array): void => {
    if (isClosed) return;
    void writer.append(bytes);
    isClosed = isClose(bytes);
    if (isClosed) void Promise.resolve(writer.flush()).then(() => socket.end());
  };
  const encode = (stream: OutputStream, chunk: Uint8Array): Uint8Array => {
    if (websocket !== undefined) return dataFrame(websocket.frames, chunk);
    return reply.framed ? frame(stream, chunk) : chunk;
  };
  const client: ClientStream = {
    write: (stream: OutputStream, chunk: Uint8Array) => (isClosed ? undefined : writer.append(encode(stream, chunk))),
    input: websocket === undefined ? input : readFrames(input, answer),
    gone: gone.signal,
  };
  const stopWatching = watchPeer(connection, input);
  try {
    await reply.run(client);
    if (websocket !== undefined) answer(closeFrame());
  } finally {
    stopWatching();
    await writer.flush();
    socket.end(() => socket.destroy());
  }
}

/** A client that is killed after it has sent everything, or that never sends, says nothing: it is looked for once it has closed its sending side. */
function watchPeer({ socket, isPeerGone }: Hijacked, input: ClientInput): () => void {
  let timer: ReturnType<typeof setInterval> | undefined;
  const watch = (): void => {
    timer ??= setInterval(() => {
      if (input.pendingBytes() === 0 && isPeerGone()) socket.destroy();
    }, peerCheckMs);
  };
  if (socket.readableEnded) watch();
  else socket.once('end', watch);
  return () => {
    socket.off('end', watch);
    clearInterval(timer);
  };
}

function headText(upgrade: boolean, reply: HijackReply, common: Headers): string {
  const shared = reply.commonHeaders ? formatHeaders(common) : '';
  if (reply.websocket !== undefined) {
    return `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${reply.websocket.accept}\r\n${shared}\r\n`;
  }
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

interface ClientInput extends AsyncIterable<Uint8Array> {
  /** What was received and is not taken yet. */
  pendingBytes(): number;
}

/** The bytes of a connection as they come, ending at the half-close. Reading slowly holds the client back. */
function readInput(socket: Duplex, head: Uint8Array): ClientInput {
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
    pendingBytes: () => queuedBytes,
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
