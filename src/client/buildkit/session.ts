import type { Connection } from '../connection.ts';
import { type Handlers, serveGrpc } from './grpc-server.ts';
import { openUpgraded } from './upgraded-socket.ts';

export interface SessionOptions {
  readonly id: string;
  readonly name: string;
  /** Known from one build to the next: what the daemon keeps of this client's files goes by it. */
  readonly sharedKey: string;
  readonly handlers: Handlers;
}

const healthCheck = '/grpc.health.v1.Health/Check';

/** Opens a connection on which the daemon asks this client: for files, secrets, credentials. It stays open until disposed. */
export async function openSession(connection: Connection, { id, name, sharedKey, handlers }: SessionOptions): Promise<Disposable> {
  const all: Handlers = { ...handlers, [healthCheck]: call => call.send(Uint8Array.from([0x08, 0x01])) };
  const socket = await openUpgraded(connection, '/session', [
    ['X-Docker-Expose-Session-Uuid', id],
    ['X-Docker-Expose-Session-Name', name],
    ['X-Docker-Expose-Session-Sharedkey', sharedKey],
    ...Object.keys(all).map(method => ['X-Docker-Expose-Session-Grpc-Method', method] as const),
  ]);
  return serveGrpc(socket, all);
}
