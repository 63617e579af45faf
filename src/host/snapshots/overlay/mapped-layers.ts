import { existsSync, mkdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { messageOf } from '#base/errors.ts';
import { failpoint } from '#base/failpoint.ts';
import { KeyedLock } from '#base/keyed-lock.ts';
import type { Logger } from '#base/log.ts';
import { type IdMap, rootOwner } from '#core/id-map.ts';
import { copyTree } from '#host/rootfs/copy-tree.ts';
import { outward } from '#host/rootfs/owner-translation.ts';
import { openDirectory, atCwd } from '#host/sys/fs.ts';
import { mountMapped } from '#host/sys/mapped-mount.ts';
import { mountOverlay, type Overlay, unmount } from '#host/sys/mount.ts';
import { ownedFd } from '#host/sys/rooted.ts';
import type { LayerDirectories } from '../directories.ts';

/** How a user namespace maps owners, and a descriptor of such a namespace. */
export interface MappedOwners {
  readonly map: IdMap;
  readonly namespaceFd: number;
}

/** Layers of images for containers whose ids are not the host's. */
export interface MappedLayers {
  readonly map: IdMap;
  /** Resolves, when what mounting needs is there, with the way to mount on these layers. The upper directory holds owners of the host. */
  ready(lowerDirs: readonly string[]): Promise<(overlay: Overlay, target: string) => void>;
}

/** Where the kernel can, the layers are seen through a mount that maps their owners; elsewhere they are copied once, with the owners mapped. */
export function openMappedLayers(directories: LayerDirectories, owners: MappedOwners, log: Logger): MappedLayers {
  unmount(windowOf(directories.top), { detach: true });
  const { map } = owners;
  const why = whyNotMapped(directories.top, owners);
  if (why === undefined) {
    const mount = (overlay: Overlay, target: string): void =>
      mountThroughWindow(directories.top, owners, overlay, target, () => failpoint('snapshot.mount.mapped'));
    return { map, ready: async () => mount };
  }
  log.warn('this kernel cannot map the owners of layers: they are copied for user namespaces', { why });
  const locks = new KeyedLock();
  return {
    map,
    async ready(lowerDirs) {
      const copies: string[] = [];
      for (const lower of lowerDirs) copies.push(await locks.run(lower, () => mappedCopy(lower, map)));
      return (overlay, target) => mountOverlay({ ...overlay, lowerDirs: copies }, target);
    },
  };
}

/** Overlay keeps a private copy of the mounts below it: the window is there only while the overlay is being mounted. Nothing else runs in between. */
function mountThroughWindow(top: string, owners: MappedOwners, overlay: Overlay, target: string, onMapped: () => void): void {
  const window = windowOf(top);
  mkdirSync(window, { recursive: true, mode: 0o700 });
  mountMapped(top, window, owners.namespaceFd);
  onMapped();
  try {
    mountOverlay({ ...overlay, lowerDirs: overlay.lowerDirs.map(lower => window + lower.slice(top.length)) }, target);
  } finally {
    unmount(window, { detach: true });
  }
}

const windowOf = (top: string): string => join(top, 'mapped');

/** Undefined when a small overlay shows the right owner. */
function whyNotMapped(top: string, owners: MappedOwners): string | undefined {
  // Drivers have a `probe` of their own.
  const probe = join(top, 'mapped-probe');
  const remove = (): void => {
    for (const name of ['mapped', 'merged']) unmount(join(probe, name), { detach: true });
    rmSync(probe, { recursive: true, force: true });
  };
  // One that an earlier process did not come to remove.
  remove();
  const [lower, upper, work, merged] = ['lower', 'upper', 'work', 'merged'].map(name => join(probe, name)) as [
    string,
    string,
    string,
    string,
  ];
  try {
    for (const directory of [probe, lower, upper, work, merged, join(lower, 'file')]) mkdirSync(directory);
    const overlay = { lowerDirs: [lower], upperDir: upper, workDir: work, volatile: false };
    mountThroughWindow(probe, owners, overlay, merged, () => failpoint('snapshot.probe.mapped'));
    const { uid, gid } = statSync(join(merged, 'file'));
    const wanted = rootOwner(owners.map);
    return uid === wanted.uid && gid === wanted.gid ? undefined : `a file of root belongs to ${String(uid)}:${String(gid)}`;
  } catch (err) {
    return messageOf(err);
  } finally {
    remove();
  }
}

/** The copy of a layer beside it; made at its first use. */
async function mappedCopy(layer: string, map: IdMap): Promise<string> {
  const copy = join(dirname(layer), 'mapped');
  if (existsSync(copy)) return copy;
  const unfinished = `${copy}.new`;
  rmSync(unfinished, { recursive: true, force: true });
  mkdirSync(unfinished, 0o700);
  using source = ownedFd(openDirectory(atCwd, layer));
  using target = ownedFd(openDirectory(atCwd, unfinished));
  await copyTree(source.fd, target.fd, AbortSignal.timeout(copyMs), outward(map));
  renameSync(unfinished, copy);
  return copy;
}

const copyMs = 600_000;
