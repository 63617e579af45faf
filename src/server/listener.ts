import { chmod, chown, lstat, mkdir, unlink } from 'node:fs/promises';
import { createConnection, createServer } from 'node:net';
import type { Server, Socket } from 'node:net';
import { dirname } from 'node:path';
import { createServer as createTlsServer } from 'node:tls';
import { conflict, internal, isErrno, messageOf } from '#base/errors.ts';

const keepAliveMs = 30_000;

/** Where a daemon listens. */
export type ListenAddress =
  | { readonly kind: 'unix'; readonly path: string }
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number; readonly tls: TlsFiles | undefined };

/** PEM texts. With `clientCa`, only clients with a certificate signed by it get in. */
export interface TlsFiles {
  readonly cert: string;
  readonly key: string;
  readonly clientCa: string | undefined;
}

export interface Listener {
  /** As a client would name it: `unix:///run/x.sock`, `tcp://127.0.0.1:2376`; with the port that was chosen for 0. */
  readonly address: string;
  /** Takes no more connections; those that exist go on. Removes a unix socket's file. */
  close(): Promise<void>;
}

export interface SocketOwner {
  /** Group id of the unix socket; undefined: the daemon's own. */
  readonly gid: number | undefined;
}

/** Rejects with Conflict when somebody listens there already. */
export async function listen(address: ListenAddress, owner: SocketOwner, onConnection: (socket: Socket) => void): Promise<Listener> {
  // A client may close its sending side and go on reading: that ends the input of an attached container, not its output.
  const options = { allowHalfOpen: true, noDelay: true };
  if (address.kind === 'unix') return await listenUnix(address.path, owner, createServer(options, onConnection));
  const { tls } = address;
  // A client whose machine is gone says nothing: probes find out.
  const accept = (socket: Socket): void => {
    socket.setKeepAlive(true, keepAliveMs);
    onConnection(socket);
  };
  const server =
    tls === undefined
      ? createServer(options, accept)
      : createTlsServer(
          {
            ...options,
            cert: tls.cert,
            key: tls.key,
            minVersion: 'TLSv1.2',
            ...(tls.clientCa === undefined ? {} : { ca: tls.clientCa, requestCert: true, rejectUnauthorized: true }),
          },
          accept,
        );
  await bind(server, `tcp://${address.host}:${address.port}`, () => server.listen({ host: address.host, port: address.port }));
  const bound = server.address();
  const port = typeof bound === 'object' && bound !== null ? bound.port : address.port;
  const host = address.host.includes(':') ? `[${address.host}]` : address.host;
  return { address: `tcp://${host}:${port}`, close: async () => await closeServer(server) };
}

async function listenUnix(path: string, owner: SocketOwner, server: Server): Promise<Listener> {
  await mkdir(dirname(path), { recursive: true });
  await removeStaleSocket(path);
  // Nobody may connect between bind and chown: the socket is born closed to others.
  const umask = process.umask(0o177);
  try {
    await bind(server, `unix://${path}`, () => server.listen(path));
  } finally {
    process.umask(umask);
  }
  if (owner.gid !== undefined) await chown(path, 0, owner.gid);
  await chmod(path, 0o660);
  return {
    address: `unix://${path}`,
    close: async () => {
      await closeServer(server);
      await unlink(path).catch(() => undefined);
    },
  };
}

/** A socket file left by a daemon that was killed is in the way; one that answers is somebody else's. */
async function removeStaleSocket(path: string): Promise<void> {
  try {
    if (!(await lstat(path)).isSocket())
      throw conflict(`cannot listen on unix://${path}: the file exists and is no socket; remove it or choose another path`);
  } catch (err) {
    if (isErrno(err, 'ENOENT')) return;
    throw err;
  }
  if (await answers(path)) throw conflict(`cannot listen on unix://${path}: another daemon listens there; choose another path with --host`);
  await unlink(path);
}

async function answers(path: string): Promise<boolean> {
  return await new Promise(resolve => {
    const probe = createConnection({ path });
    const settle = (answer: boolean) => (): void => {
      probe.destroy();
      resolve(answer);
    };
    probe.once('connect', settle(true));
    probe.once('error', settle(false));
  });
}

async function bind(server: Server, name: string, start: () => unknown): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', err => {
      reject(
        isErrno(err, 'EADDRINUSE')
          ? conflict(`cannot listen on ${name}: the address is in use; choose another with --host`, { cause: err })
          : internal(`cannot listen on ${name}: ${messageOf(err)}`, { cause: err }),
      );
    });
    server.once('listening', () => resolve());
    start();
  });
}

async function closeServer(server: Server): Promise<void> {
  await new Promise<void>(resolve => {
    server.close(() => resolve());
  });
}
