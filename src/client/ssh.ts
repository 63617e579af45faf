import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Endpoint } from './endpoint.ts';

export interface SshBridge {
  /** A socket of ours: each connection to it is one `docker system dial-stdio` on the other machine. */
  readonly socketPath: string;
  close(): void;
}

/** The words that reach the daemon over there. */
export function sshCommand(endpoint: Endpoint & { kind: 'ssh' }): string[] {
  return [
    'ssh',
    '-o',
    'ConnectTimeout=30',
    '-T',
    ...(endpoint.user === undefined ? [] : ['-l', endpoint.user]),
    ...(endpoint.port === undefined ? [] : ['-p', String(endpoint.port)]),
    '--',
    endpoint.host,
    'docker',
    ...(endpoint.path === undefined ? [] : ['--host', `unix://${endpoint.path}`]),
    'system',
    'dial-stdio',
  ];
}

type Child = Bun.Subprocess<'pipe', 'pipe', 'inherit'>;

/** Makes ssh look like a unix socket, so that everything else speaks to it as to any daemon. */
export async function openSshBridge(endpoint: Endpoint & { kind: 'ssh' }): Promise<SshBridge> {
  const directory = mkdtempSync(join(tmpdir(), 'berth-ssh-'));
  const socketPath = join(directory, 'docker.sock');
  const children = new Set<Child>();
  const listener = Bun.listen<Child | undefined>({
    unix: socketPath,
    allowHalfOpen: true,
    socket: {
      open(socket) {
        const child = Bun.spawn(sshCommand(endpoint), { stdin: 'pipe', stdout: 'pipe', stderr: 'inherit' });
        socket.data = child;
        children.add(child);
        void pump(child, socket).finally(() => children.delete(child));
      },
      data(socket, data) {
        void socket.data?.stdin.write(data.slice());
        void socket.data?.stdin.flush();
      },
      end(socket) {
        void socket.data?.stdin.end();
      },
      close(socket) {
        socket.data?.kill();
      },
      drain() {},
    },
  });
  listener.unref();
  return {
    socketPath,
    close() {
      for (const child of children) child.kill();
      listener.stop(true);
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

async function pump(child: Child, socket: Bun.Socket<Child | undefined>): Promise<void> {
  for await (const chunk of child.stdout) {
    let rest: Uint8Array = chunk;
    while (rest.length > 0) {
      const sent = socket.write(rest);
      if (sent < 0) return;
      rest = rest.subarray(sent);
      if (rest.length > 0) await Bun.sleep(1);
    }
  }
  socket.end();
}
