import { writeFileSync } from 'node:fs';
import { failedPrecondition } from '#base/errors.ts';
import type { IdRange, UserNamespace } from '#core/id-map.ts';

/** A process that waits in namespaces of its own. They are reached through /proc while it lives; a mount or a descriptor keeps them longer. */
export interface NamespaceHolder extends Disposable {
  readonly pid: number;
}

/**
 * Makes a user namespace, or joins one that is there, and makes a network namespace that it owns when asked. A process with threads can do neither for
 * itself. The holder ends with this process.
 */
export async function holdUserNamespace({ idMap, path }: UserNamespace, options: { readonly network: boolean }): Promise<NamespaceHolder> {
  const join = path === undefined ? [] : ['nsenter', `--user=${path}`];
  const make = ['unshare', ...(path === undefined ? ['--user'] : []), ...(options.network ? ['--net'] : [])];
  const child = Bun.spawn([...join, ...make, 'sh', '-c', 'echo; read -r _'], { stdio: ['pipe', 'pipe', 'pipe'] });
  const holder = {
    pid: child.pid,
    [Symbol.dispose]: () => child.kill('SIGKILL'),
  };
  try {
    // Its first output comes when the namespaces are there.
    const { done } = await child.stdout.getReader().read();
    if (done) throw failedPrecondition(`this machine cannot make a user namespace: ${(await child.stderr.text()).trim()}`);
    if (path === undefined) {
      writeFileSync(`/proc/${String(child.pid)}/uid_map`, mapText(idMap.uids));
      writeFileSync(`/proc/${String(child.pid)}/gid_map`, mapText(idMap.gids));
    }
    return holder;
  } catch (err) {
    holder[Symbol.dispose]();
    throw err;
  }
}

/** As /proc/PID/uid_map takes it: all ranges in one write. */
const mapText = (ranges: readonly IdRange[]): string =>
  ranges.map(({ containerId, hostId, size }) => `${String(containerId)} ${String(hostId)} ${String(size)}\n`).join('');
