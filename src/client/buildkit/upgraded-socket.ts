import { connect as connectSocket, type Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { connect as connectTls } from 'node:tls';
import type { Connection } from '../connection.ts';
import { connectionError, daemonError } from '../errors.ts';
import type { SocketAddress } from '../socket-address.ts';

/**
 * Opens a connection of its own to the daemon and has it speak HTTP/2 from now on. Rejects with what the daemon says where it does not, with ConnectionError
 * when there is no daemon.
 */
export async function openUpgraded(
  connection: Connection,
  path: string,
  headers: readonly (readonly [name: string, value: string])[] = [],
): Promise<Duplex> {
  const [address, fullPath] = await Promise.all([connection.socketAddress(), connection.path(path)]);
  const socket = await openSocket(address);
  const lines = [
    `POST ${address.basePath ?? ''}${fullPath} HTTP/1.1`,
    `Host: ${address.hostname ?? 'localhost'}`,
    'Connection: Upgrade',
    'Upgrade: h2c',
    ...headers.map(([name, value]) => `${name}: ${value}`),
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
  return withStart(socket, rest);
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
