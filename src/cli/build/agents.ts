import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { messageOf } from '#base/errors.ts';
import { ExitError } from '../errors.ts';
import { cut } from '../flags/flag.ts';

/** SSH agents that steps can ask. */
export interface Agents extends AsyncDisposable {
  /** The socket of an agent; undefined when there is none of this name. */
  socket(id: string): string | undefined;
}

/** Reads `--ssh default|id[=socket|key[,key…]]`. Keys are given to an agent of their own, which ends when this is disposed. */
export async function openAgents(given: readonly string[]): Promise<Agents> {
  const sockets = new Map<string, string>();
  await using held = new AsyncDisposableStack();
  for (const text of given) {
    const [id, value = process.env.SSH_AUTH_SOCK ?? ''] = cut(text);
    if (sockets.has(id)) throw new ExitError(1, `invalid duplicate ID ${id}`);
    if (value === '')
      throw new ExitError(1, `invalid empty ssh agent socket: make sure SSH_AUTH_SOCK is set, or write ${id}=socket or ${id}=key`);
    const paths = value.split(',');
    const isSocket = paths.map(path => kindOfFile(path) === 'socket');
    if (!isSocket.includes(true)) sockets.set(id, held.use(await startAgent(paths)).path);
    else if (paths.length === 1) sockets.set(id, value);
    else throw new ExitError(1, `invalid ssh agent ${JSON.stringify(text)}: it is either one socket or keys`);
  }
  const kept = held.move();
  return { socket: id => sockets.get(id), [Symbol.asyncDispose]: () => kept.disposeAsync() };
}

function kindOfFile(path: string): 'socket' | 'file' {
  const stats = statSync(path, { throwIfNoEntry: false });
  if (stats === undefined) throw new ExitError(1, `failed to open ${path}: no such file or directory`);
  if (stats.isDirectory()) throw new ExitError(1, `failed to open ${path}: it is a directory, not a key or the socket of an SSH agent`);
  return stats.isSocket() ? 'socket' : 'file';
}

async function startAgent(keys: readonly string[]): Promise<AsyncDisposable & { readonly path: string }> {
  const directory = mkdtempSync(join(tmpdir(), 'berth-agent-'));
  await using made = new AsyncDisposableStack();
  made.defer(() => rmSync(directory, { recursive: true, force: true }));
  const path = join(directory, 'socket');
  const agent = spawn(['ssh-agent', '-D', '-a', path], {}, undefined);
  made.defer(async () => {
    agent.kill();
    await agent.exited;
  });
  for (let waited = 0; statSync(path, { throwIfNoEntry: false }) === undefined; waited += 1) {
    if (agent.exitCode !== null || waited > 500)
      throw new ExitError(1, 'ssh-agent does not start: give the socket of a running agent instead');
    await Bun.sleep(10);
  }
  for (const key of keys) {
    const add = spawn(['ssh-add', '-q', '-'], { SSH_AUTH_SOCK: path, SSH_ASKPASS_REQUIRE: 'never' }, readFileSync(key));
    const [errors, code] = await Promise.all([add.stderr.text(), add.exited]);
    if (code !== 0)
      throw new ExitError(
        1,
        `failed to use the key ${key}: ${errors.trim() || 'it is no private key, or has a passphrase'}: add it to an agent with ssh-add`,
      );
  }
  const kept = made.move();
  return { path, [Symbol.asyncDispose]: () => kept.disposeAsync() };
}

function spawn(
  command: readonly string[],
  env: Record<string, string>,
  stdin: Uint8Array | undefined,
): Bun.Subprocess<'ignore' | Uint8Array, 'ignore', 'pipe'> {
  try {
    return Bun.spawn([...command], { env: { ...process.env, ...env }, stdin: stdin ?? 'ignore', stdout: 'ignore', stderr: 'pipe' });
  } catch (err) {
    throw new ExitError(
      1,
      `--ssh with keys needs ${command[0] ?? ''}: install openssh-client, or give the socket of an agent (${messageOf(err)})`,
      { cause: err },
    );
  }
}
