import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { failedPrecondition, messageOf } from '#base/errors.ts';
import { failpoint } from '#base/failpoint.ts';
import type { RecordStore } from '#core/records.ts';
import { isBtrfs } from '#host/sys/btrfs.ts';
import { mountOverlay, unmount } from '#host/sys/mount.ts';
import { openFuseOverlaySnapshotter, openOverlaySnapshotter } from './overlay/form.ts';
import type { MappedOwners } from './overlay/mapped-layers.ts';
import { openSnapshotRecords } from './records.ts';
import type { SettlingSnapshotter, SnapshotterOptions } from './snapshotter.ts';
import { btrfsTrees } from './whole/btrfs.ts';
import { openWholeTreeSnapshotter } from './whole/form.ts';
import { vfsTrees } from './whole/vfs.ts';

/** In the order in which they are tried: the kernel's own before what a process or plain copies have to do. */
export const storageDrivers = ['overlay2', 'btrfs', 'fuse-overlayfs', 'vfs'] as const;
export type StorageDriver = (typeof storageDrivers)[number];

export interface StorageOptions extends SnapshotterOptions {
  /** Undefined: the one that the data root has, or the first that works there. */
  readonly driver: StorageDriver | undefined;
  /** For containers with a user namespace. */
  readonly owners?: MappedOwners | undefined;
  /** What containers may write that name no limit: a driver that cannot keep its own is refused. */
  readonly sizes?: Partial<Readonly<Record<StorageDriver, number>>>;
}

/**
 * Opens the layers with the storage driver that was asked for. A data root remembers which driver its layers were made with; another one would take them for
 * something else, so that it is refused as long as there are any. Rejects with FailedPrecondition.
 */
export async function openStorage(options: StorageOptions): Promise<SettlingSnapshotter> {
  const { dir, records, log } = options;
  const recorded = driverOfRecords(records);
  const root = dirname(dir);
  if (recorded !== undefined && options.driver !== undefined && recorded !== options.driver) {
    throw failedPrecondition(
      `the layers in ${root} were made with the storage driver ${recorded}, and ${options.driver} cannot read them: start with --storage-driver ${recorded}, or give --data-root another directory`,
    );
  }
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  removeProbe(dir);
  const wanted = recorded ?? options.driver;
  const driver = wanted ?? storageDrivers.find(one => whyNot(one, dir) === undefined) ?? 'vfs';
  const why = wanted === undefined || wanted === recorded ? undefined : whyNot(wanted, dir);
  if (why !== undefined)
    throw failedPrecondition(`the storage driver ${driver} cannot be used in ${root}: ${why}; choose another one with --storage-driver`);
  if (options.owners !== undefined && driver !== 'overlay2') {
    throw failedPrecondition(
      `the storage driver ${driver} has no user namespaces: start without --userns-remap, or with --storage-driver overlay2`,
    );
  }
  if (wanted === undefined && driver !== 'overlay2')
    log.info('a storage driver was chosen', { driver, whyNotOverlay: whyNot('overlay2', dir) });
  remembered(records).put(key, { driver });
  failpoint('snapshot.driver.recorded');
  const storage = await openDriver(driver, options);
  const sizeBytes = options.sizes?.[driver];
  if (sizeBytes !== undefined) await tryLimit(storage, sizeBytes);
  return storage;
}

/** Rejects with FailedPrecondition when a writable layer cannot be limited. */
async function tryLimit(storage: SettlingSnapshotter, sizeBytes: number): Promise<void> {
  await storage.remove(trialKey);
  await storage.prepare(trialKey, undefined, { sizeBytes });
  await storage.remove(trialKey);
}

const trialKey = 'limit-trial';

async function openDriver(driver: StorageDriver, options: StorageOptions): Promise<SettlingSnapshotter> {
  switch (driver) {
    case 'overlay2':
      return await openOverlaySnapshotter(options);
    case 'fuse-overlayfs':
      return await openFuseOverlaySnapshotter({ ...options, program: Bun.which(fuseProgram) ?? fuseProgram });
    case 'btrfs':
      return await openWholeTreeSnapshotter(options, btrfsTrees);
    case 'vfs':
      return await openWholeTreeSnapshotter(options, vfsTrees);
  }
}

const key = 'layers';
const remembered = (records: RecordStore) => records.table<{ readonly driver: StorageDriver }>('storage-driver');

/** The driver that the layers were made with; undefined when there are none. Layers of data roots that do not say it are overlay's. */
function driverOfRecords(records: RecordStore): StorageDriver | undefined {
  const { layers, writables } = openSnapshotRecords(records);
  if (layers.list().length === 0 && writables.list().length === 0) return undefined;
  return remembered(records).get(key)?.driver ?? 'overlay2';
}

const fuseProgram = 'fuse-overlayfs';

/** Why a driver cannot work here; undefined when it can. */
function whyNot(driver: StorageDriver, dir: string): string | undefined {
  switch (driver) {
    case 'overlay2':
      return whyNoOverlay(dir);
    case 'btrfs':
      return isBtrfs(dir) ? undefined : 'it is no directory of a btrfs file system';
    case 'fuse-overlayfs':
      if (Bun.which(fuseProgram) === null) return `the program ${fuseProgram} is not installed`;
      return existsSync('/dev/fuse') ? undefined : 'there is no /dev/fuse';
    case 'vfs':
      return undefined;
  }
}

/** Mounts a small overlay, with a whiteout in it. */
function whyNoOverlay(dir: string): string | undefined {
  const probe = probeOf(dir);
  const merged = join(probe, 'merged');
  try {
    const [lower, upper, work] = ['lower', 'upper', 'work'].map(name => join(probe, name)) as [string, string, string];
    for (const directory of [probe, lower, upper, work, merged]) mkdirSync(directory);
    writeFileSync(join(lower, 'file'), '');
    mountOverlay({ lowerDirs: [lower], upperDir: upper, workDir: work, volatile: false }, merged);
    rmSync(join(merged, 'file'));
    return existsSync(join(merged, 'file')) ? 'it keeps no whiteouts there' : undefined;
  } catch (err) {
    return messageOf(err);
  } finally {
    removeProbe(dir);
  }
}

const probeOf = (dir: string): string => join(dir, 'probe');

/** Also one that an earlier process did not come to remove. */
function removeProbe(dir: string): void {
  unmount(join(probeOf(dir), 'merged'), { detach: true });
  rmSync(probeOf(dir), { recursive: true, force: true });
}
