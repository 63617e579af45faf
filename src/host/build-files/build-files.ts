import { chmod, chown, mkdir, mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { internal, isErrno, kindOf } from '#base/errors.ts';
import { failpoint } from '#base/failpoint.ts';
import type { BuildFiles, FileSource, FileTarget, ScratchCopy } from '#core/build-files.ts';
import { decompress } from '#host/compression/decompress.ts';
import { createRootFiles } from '#host/rootfs/root-files.ts';
import { treeUsage } from '#host/snapshots/usage.ts';
import { copyFiles } from '#host/snapshots/whole/copy-files.ts';
import { unpackInto } from '#host/snapshots/unpack/spawn.ts';
import { setXattr } from '#host/sys/fs.ts';
import { spreadSubdirectories } from '#host/sys/inode-flags.ts';
import { mountMapped } from '#host/sys/mapped-mount.ts';
import { bindMount, mountOverlay, unmount } from '#host/sys/mount.ts';
import { readMounts } from '#host/sys/mountinfo.ts';
import { blockBytes, parseHeader } from '#oci/tar/header.ts';
import { FileWorkers } from './workers.ts';

/** File work of builds; `limit` is how many processes do it at the same time. `userNamespaceFd`: a namespace that maps ids as those of steps are. */
export function createBuildFiles(limit: number, userNamespaceFd?: number): BuildFiles & Disposable {
  const workers = new FileWorkers(limit);
  return {
    digest: (sources, signal) => workers.run({ kind: 'digest', sources }, signal),
    pack: (layer, signal) => workers.run({ kind: 'pack', layer }, signal),
    copy: (sources, target, signal) => copy(workers, sources, target, signal),
    makeDirectory: async (target, signal) => void (await workers.run({ kind: 'directory', target }, signal)),
    setAttributes,
    change: async (root, change, signal) => void (await workers.run({ kind: 'change', root, change }, signal)),
    mirror: async (model, root, signal) => void (await workers.run({ kind: 'mirror', model, root }, signal)),
    resolve: rootFiles.resolve,
    kindOf: rootFiles.kindOf,
    scratchOver,
    showMapped: (source, workDir) => showMapped(source, workDir, userNamespaceFd),
    clear,
    usage: async directory => (await treeUsage(directory)).diskBytes,
    unpack: async (stream, directory, signal) => void (await unpackInto(directory, { stream }, signal, { plain: true })),
    [Symbol.dispose]: () => workers.close(),
  };
}

const rootFiles = createRootFiles();

function setAttributes(path: string, attributes: Readonly<Record<string, Uint8Array>>): void {
  for (const [name, value] of Object.entries(attributes)) {
    // By others a client would steer overlay, or what the host's own security has to say.
    if (!/^user\.(?!overlay\.)|^security\.capability$/.test(name)) continue;
    try {
      setXattr(path, name, value);
    } catch (err) {
      if (!isErrno(err, 'EOPNOTSUPP', 'EPERM', 'EINVAL', 'ENOSPC')) throw err;
    }
  }
}

async function scratchOver(directory: string, workDir: string): Promise<ScratchCopy> {
  const base = await mkdtemp(join(workDir, 'scratch-'));
  await chmod(base, 0o711);
  const path = join(base, 'merged');
  const overlay = { lowerDirs: [directory], upperDir: join(base, 'upper'), workDir: join(base, 'work'), volatile: true };
  for (const dir of [path, overlay.upperDir, overlay.workDir]) await mkdir(dir);
  // The root of a mount shows the attributes of its uppermost directory.
  const { uid, gid, mode } = await stat(directory);
  await chown(overlay.upperDir, uid, gid);
  await chmod(overlay.upperDir, mode & 0o7777);
  try {
    mountOverlay(overlay, path);
  } catch (err) {
    if (!isErrno(err, 'ENODEV', 'EINVAL', 'EPERM', 'EOPNOTSUPP')) throw err;
    // Where the kernel has no overlay, or not on this file system, a copy does.
    await copyFiles(directory, path);
  }
  return {
    path,
    [Symbol.asyncDispose]: async () => {
      unmount(path, { detach: true });
      await rm(base, { recursive: true, force: true });
    },
  };
}

async function showMapped(source: string, workDir: string, userNamespaceFd: number | undefined): Promise<ScratchCopy> {
  if (userNamespaceFd === undefined) throw internal('owners cannot be mapped without a user namespace');
  const base = await mkdtemp(join(workDir, 'mapped-'));
  await chmod(base, 0o711);
  const path = join(base, 'source');
  if ((await stat(source)).isDirectory()) await mkdir(path);
  else await writeFile(path, '');
  try {
    mountMapped(source, path, userNamespaceFd);
  } catch (err) {
    if (!isErrno(err, 'EINVAL', 'ENOSYS', 'EPERM', 'EOPNOTSUPP')) throw err;
    bindMount(source, path, { recursive: false });
  }
  failpoint('build.files.mapped');
  return {
    path,
    [Symbol.asyncDispose]: async () => {
      unmount(path, { detach: true });
      await rm(base, { recursive: true, force: true });
    },
  };
}

async function clear(directory: string): Promise<number> {
  for (const { target } of readMounts().toReversed()) if (target.startsWith(`${directory}/`)) unmount(target, { detach: true });
  await mkdir(directory, { recursive: true, mode: 0o700 });
  // A context is made where another one has just been deleted: in the same part of the disk that is slow.
  spreadSubdirectories(directory);
  const names = await readdir(directory);
  for (const name of names) await rm(join(directory, name), { recursive: true, force: true });
  return names.length;
}

async function copy(workers: FileWorkers, sources: readonly FileSource[], target: FileTarget, signal: AbortSignal): Promise<void> {
  const archives: string[] = [];
  const toUnpack = sources.filter(source => source.unpack);
  for (const path of toUnpack.length === 0 ? [] : await workers.run({ kind: 'files', sources: toUnpack }, signal)) {
    if (await isArchive(path, signal)) archives.push(path);
  }
  await workers.run({ kind: 'copy', sources, target, archives }, signal);
  if (archives.length === 0) return;
  const directory = await workers.run({ kind: 'directory', target }, signal);
  for (const path of archives) {
    await unpackInto(directory, { path }, signal, { plain: true, ...(target.owner === undefined ? {} : { owner: target.owner }) });
  }
}

/** Whether a file begins like a tar, compressed or not. */
async function isArchive(path: string, signal: AbortSignal): Promise<boolean> {
  const head: Uint8Array[] = [];
  let bytes = 0;
  try {
    for await (const chunk of decompress(Bun.file(path).stream(), { signal })) {
      head.push(chunk.slice());
      bytes += chunk.length;
      if (bytes >= blockBytes) break;
    }
    if (bytes < blockBytes) return false;
    parseHeader(Buffer.concat(head).subarray(0, blockBytes), 'at its beginning');
    return true;
  } catch (err) {
    if (signal.aborted || kindOf(err) !== 'DataLoss') throw err;
    return false;
  }
}
