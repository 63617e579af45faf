import { chmodSync, chownSync } from 'node:fs';
import { conflict, invalidArgument } from '#base/errors.ts';
import { type IdMap, rootOwner, type UserNamespace } from '#core/id-map.ts';
import type { Context } from './context.ts';
import type { Container, HostConfig } from './model.ts';
import type { ContainerOptions } from './options.ts';
import { isRunning } from './state.ts';

/** How the ids of a container are mapped; undefined: it has those of the host. */
export const idMapOf = ({ idMap }: ContainerOptions, { usernsMode }: HostConfig): IdMap | undefined =>
  usernsMode === 'host' ? undefined : idMap;

/** What a container in a user namespace cannot have. Rejects with InvalidArgument. */
export function checkUserNamespace(hostConfig: HostConfig, options: ContainerOptions): void {
  if (idMapOf(options, hostConfig) === undefined) return;
  if (hostConfig.privileged) {
    throw invalidArgument(
      'privileged mode is incompatible with user namespaces.  You must run the container in the host namespace when running privileged mode',
    );
  }
  if (hostConfig.networkMode === 'host') {
    throw invalidArgument("cannot share the host's network namespace when user namespaces are enabled");
  }
  if (hostConfig.pidMode === 'host') throw invalidArgument('cannot share the host PID namespace when user namespaces are enabled');
}

/** Whoever shares a namespace of another container has to be in the user namespace that owns it. */
export function userNamespaceOf(ctx: Context, { hostConfig }: Container): UserNamespace | undefined {
  const idMap = idMapOf(ctx.options, hostConfig);
  if (idMap === undefined) return undefined;
  const pids = new Set<number>();
  for (const mode of [hostConfig.networkMode, hostConfig.ipcMode, hostConfig.pidMode]) {
    if (!mode.startsWith('container:')) continue;
    const { container } = ctx.containers.find(mode.slice('container:'.length));
    // Those who join say what is wrong with it.
    if (!isRunning(container.state)) continue;
    if (idMapOf(ctx.options, container.hostConfig) === undefined) {
      throw conflict(`container ${container.id} is in the host's user namespace: join it with --userns=host`);
    }
    pids.add(container.state.pid);
  }
  const [pid, ...others] = pids;
  if (others.length > 0) throw conflict('cannot join namespaces of containers that are in different user namespaces');
  return pid === undefined ? { idMap } : { idMap, path: `/proc/${String(pid)}/ns/user` };
}

/** Lets root of the user namespaces pass through a directory on its way to its own files. The data root, above it, lets nobody else in. */
export function letPass(idMap: IdMap | undefined, directory: string): void {
  if (idMap !== undefined) chmodSync(directory, 0o711);
}

/** Makes a file of a container belong to its root. */
export function giveToRoot(idMap: IdMap | undefined, path: string): void {
  if (idMap === undefined) return;
  const { uid, gid } = rootOwner(idMap);
  chownSync(path, uid, gid);
}
