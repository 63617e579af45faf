import { conflict, EngineError, internal, kindOf, messageOf } from '#base/errors.ts';
import { type Context, containerDir } from './context.ts';
import type { Container } from './model.ts';
import { requireRunning } from './state.ts';

/** What a container shares with others to talk to them through memory. */
export interface SharedIpc {
  /** The namespace to join; undefined: one of its own, or the host's. */
  readonly namespace: string | undefined;
  /** The directory on the host that is its /dev/shm; undefined: one of its own. */
  readonly shmPath: string | undefined;
}

const modePrefix = 'container:';
const hostShm = '/dev/shm';

export const shmPath = (ctx: Context, id: string): string => `${containerDir(ctx, id)}/shm`;

/** Makes a shareable container's /dev/shm; finds that of the container to join. Rejects when there is none to share. */
export function prepareIpc(ctx: Context, { id, hostConfig }: Container): SharedIpc {
  const { ipcMode, shmSizeBytes } = hostConfig;
  if (ipcMode.startsWith(modePrefix)) return joinIpc(ctx, ipcMode.slice(modePrefix.length));
  if (ipcMode !== 'shareable') return { namespace: undefined, shmPath: undefined };
  const path = shmPath(ctx, id);
  ctx.sharedMemory.mount(path, shmSizeBytes);
  return { namespace: undefined, shmPath: path };
}

/** The opposite of `prepareIpc`. Containers that joined keep what they have mounted. Not prepared is fine. */
export function releaseIpc(ctx: Context, { id, hostConfig }: Container): void {
  if (hostConfig.ipcMode === 'shareable') ctx.sharedMemory.unmount(shmPath(ctx, id));
}

function joinIpc(ctx: Context, ref: string): SharedIpc {
  try {
    const { container } = ctx.containers.find(ref);
    const { pid } = requireRunning(container);
    return { namespace: `/proc/${String(pid)}/ns/ipc`, shmPath: shmOf(ctx, container) };
  } catch (err) {
    throw new EngineError(kindOf(err), `can't join IPC of container ${ref}: ${messageOf(err)}`, { cause: err });
  }
}

function shmOf(ctx: Context, donor: Container): string {
  const { ipcMode } = donor.hostConfig;
  if (ipcMode === 'host') return hostShm;
  if (ipcMode === 'shareable') return shmPath(ctx, donor.id);
  if (!ipcMode.startsWith(modePrefix)) throw internal('non-shareable IPC (hint: use IpcMode:shareable for the donor container)');
  const { container } = ctx.containers.find(ipcMode.slice(modePrefix.length));
  // Its /dev/shm is mounted on the host only while it runs.
  if (container.state.status !== 'running' && container.hostConfig.ipcMode === 'shareable') {
    throw conflict(`container ${container.id}, whose memory it shares, is not running`);
  }
  return shmOf(ctx, container);
}
