import { connect as connectSocket, type Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { connect as connectTls } from 'node:tls';
import type { Connection } from '../connection.ts';
import { connectionError, daemonError } from '../errors.ts';
import type { SocketAddress } from '../socket-address.ts';
import { type Handlers, serveGrpc } from './grpc-server.ts';

export interface SessionOptions {
  readonly id: string;
  readonly name: string;
  /** Known from one build to the next: what the daemon keeps of this client's files goes by it. */
  readonly sharedKey: string;
  readonly handlers: Handlers;
}

/** Opens a connection on which the daemon asks this client: for files, secrets, credentials. It stays open until disposed. */
export async function openSession(connection: Connection, { id, name, sharedKey, handlers }: SessionOptions): Promise<Disposable> {
  const [address, path] = await Promise.all([connection.socketAddress(), connection.path('/session')]);
  const socket = await openSocket(address);
  const all: Handlers = { ...handlers, [healthCheck]: call => call.send(Uint8Array.from([0x08, 0x01])) };
  const lines = [
    `POST ${address.basePath ?? ''}${path} HTTP/1.1`,
    `Host: ${address.hostname ?? 'localhost'}`,
    'Connection: Upgrade',
    'Upgrade: h2c',
    `X-Docker-Expose-Session-Uuid: ${id}`,
    `X-Docker-Expose-Session-Name: ${name}`,
    `X-Docker-Expose-Session-Sharedkey: ${sharedKey}`,
    ...Object.keys(all).map(method => `X-Docker-Expose-Session-Grpc-Method: ${method}`),
  ];
  socket.write(`${lines.join('\r\n')}\r\n\r\n`);
  const { head, rest } = await readHead(socket);
  const [statusLine = ''] = head.split('\r\n');
  const status = Number(statusLine.split(' ')[1] ?? 0);
  if (status !== 101) {
    socket.destroy();
    const isJson = /content-type:\s*application\/json/i.test(head);
    throw daemonError(status, statusLine.split(' ').slice(2).join(' '), isJson ? 'application/json' : 'text/plain', rest.toString());
  }
  return serveGrpc(withStart(socket, rest), all);
}

/** The connection, with what has been read of it already put first again. */
function withStart(socket: Socket, start: Uint8Array): Duplex {
  const joined = new Duplex({
    read: () => void socket.resume(),
    write: (chunk: Uint8Array, _encoding, done) => void socket.write(chunk, () => done()),
    final(done) {
      socket.end(() => done());
    },
    destroy(err, done) {
      socket.destroy();
      done(err);
    },
  });
  joined.push(start);
  socket.on('data', chunk => {
    if (!joined.push(chunk)) socket.pause();
  });
  socket.on('end', () => joined.push(null));
  socket.on('error', err => joined.destroy(err));
  socket.on('close', () => joined.destroy());
  return joined;
}

const healthCheck = '/grpc.health.v1.Health/Check';

async function openSocket(address: SocketAddress): Promise<Socket> {
  const { unix, hostname = '', port = 0, tls } = address;
  const socket =
    unix !== undefined
      ? connectSocket(unix)
      : tls === undefined
        ? connectSocket(port, hostname)
        : connectTls({ port, host: hostname, servername: hostname, ...tls });
  await new Promise<void>((resolve, reject) => {
    socket.once(tls === undefined || unix !== undefined ? 'connect' : 'secureConnect', () => resolve());
    socket.once('error', err => reject(connectionError(address.host, err)));
  });
  return socket;
}

async function readHead(socket: Socket): Promise<{ head: string; rest: Buffer }> {
  let seen: Buffer = Buffer.alloc(0);
  return await new Promise((resolve, reject) => {
    const onData = (chunk: Buffer): void => {
      seen = Buffer.concat([seen, chunk]);
      const end = seen.indexOf('\r\n\r\n');
      if (end < 0) return;
      socket.off('data', onData);
      socket.off('close', onClose);
      socket.pause();
      resolve({ head: seen.subarray(0, end).toString('latin1'), rest: seen.subarray(end + 4) });
    };
    const onClose = (): void => reject(new Error('the daemon closed the connection before it answered'));
    socket.on('data', onData);
    socket.once('close', onClose);
  });
}
