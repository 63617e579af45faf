import { existsSync } from 'node:fs';
import { copyFile, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { unmount } from '#host/sys/mount.ts';
import { cached } from './paths.ts';
import { run, runOk } from './run.ts';

/** A directory that this machine's kernel serves to itself, for machines that are thrown away afterwards. Disposing ends the server. */
export interface FileServer extends AsyncDisposable {
  readonly path: string;
}

const env = {
  PATH: `${cached('file-servers/usr/sbin')}:${process.env.PATH ?? ''}`,
  LD_LIBRARY_PATH: cached('file-servers/usr/lib/x86_64-linux-gnu'),
};

/** NFS version 4 at port 2049, for 127.0.0.1. */
export async function startNfsServer(): Promise<FileServer> {
  const path = await mkdtemp('/tmp/berth-nfs-');
  if (!existsSync('/etc/netconfig')) await copyFile(cached('file-servers/etc/netconfig'), '/etc/netconfig');
  await mkdir('/var/lib/nfs/v4recovery', { recursive: true });
  for (const file of ['/var/lib/nfs/etab', '/etc/exports']) await Bun.write(file, '');
  await runOk(['mount', '-t', 'nfsd', 'nfsd', '/proc/fs/nfsd']);
  await runOk(['exportfs', '-o', 'rw,no_root_squash,insecure,no_subtree_check,fsid=0', `127.0.0.1:${path}`], { env });
  const mountd = Bun.spawn(['rpc.mountd', '--foreground', '-N', '2', '-N', '3'], {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  await runOk(['rpc.nfsd', '-N', '3', '--no-udp', '-p', '2049', '2'], { env });
  // Nobody comes back to files he had open before.
  await Bun.write('/proc/fs/nfsd/v4_end_grace', 'Y');
  return {
    path,
    async [Symbol.asyncDispose]() {
      await run(['rpc.nfsd', '0'], { env });
      await run(['exportfs', '-ua'], { env });
      mountd.kill();
      await mountd.exited;
      unmount('/proc/fs/nfsd');
      await rm(path, { recursive: true, force: true });
    },
  };
}
