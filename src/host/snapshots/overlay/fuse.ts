import { failedPrecondition } from '#base/errors.ts';
import type { Logger } from '#base/log.ts';
import type { Overlay } from '#host/sys/mount.ts';

/** A mount that takes longer has gone wrong. */
const mountMs = 30_000;

/**
 * Mounts layers on top of each other through fuse-overlayfs. The process that serves the mount goes on by itself when this resolves, so that it outlives the
 * daemon, and ends with the mount.
 */
export async function mountFuseOverlay(program: string, overlay: Overlay, target: string, log: Logger): Promise<void> {
  const options = [
    `lowerdir=${overlay.lowerDirs.map(escapePath).join(':')}`,
    `upperdir=${escapePath(overlay.upperDir)}`,
    `workdir=${escapePath(overlay.workDir)}`,
    ...(overlay.volatile ? ['volatile'] : []),
    // Whoever may reach the mount is checked as on any other file system.
    'allow_other',
    'default_permissions',
    'dev',
    'suid',
  ].join(',');
  const child = Bun.spawn([program, '-o', options, target], {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { PATH: process.env.PATH ?? '' },
    cwd: '/',
    signal: AbortSignal.timeout(mountMs),
    killSignal: 'SIGKILL',
  });
  const words = new Response(child.stderr).text();
  const exitCode = await child.exited;
  if (exitCode === 0) return void words.catch((err: unknown) => log.debug('fuse-overlayfs said something unreadable', { error: err }));
  throw failedPrecondition(
    `cannot mount ${target} with ${program}: ${(await words).trim() || `it ended with status ${String(exitCode)}`}; it needs /dev/fuse`,
  );
}

const escapePath = (path: string): string => path.replace(/[\\,:]/g, found => `\\${found}`);
