import { chmodSync, chownSync, lstatSync, rmSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { failedPrecondition, isErrno, messageOf } from '#base/errors.ts';
import { failpoint } from '#base/failpoint.ts';
import { mountTable } from '#core/files.ts';
import { hostOwner, type IdMap } from '#core/id-map.ts';
import type { SnapshotPaths } from '#core/snapshots.ts';
import { forgetLimit, limitDirectories } from '#host/quota/directory-limit.ts';
import { mountOverlay, type Overlay } from '#host/sys/mount.ts';
import { completeLayer } from '../complete-layer.ts';
import type { LayerDirectories } from '../directories.ts';
import type { LayerForm, MakeWritable, WritableLayer } from '../layer-form.ts';
import { openSnapshotter, type SettlingSnapshotter, type SnapshotterOptions } from '../snapshotter.ts';
import { unmountInBackground } from '../unmount.ts';
import type { UnpackReport } from '../unpack/result.ts';
import { treeUsage } from '../usage.ts';
import { makeFrame } from './frame.ts';
import { mountFuseOverlay } from './fuse.ts';
import { type MappedLayers, type MappedOwners, openMappedLayers } from './mapped-layers.ts';

/** Layers as what they change, stacked by the kernel's overlay file system. */
export async function openOverlaySnapshotter(
  options: SnapshotterOptions & {
    /** For containers with a user namespace. */
    readonly owners?: MappedOwners | undefined;
  },
): Promise<SettlingSnapshotter> {
  const { owners, log } = options;
  return await openSnapshotter(
    options,
    async directories => new OverlayForm('overlay2', directories, mountOverlay, owners && openMappedLayers(directories, owners, log)),
    { isOpen: owners !== undefined, removeTree },
  );
}

/** The same layers, stacked by a process for each mount, where the kernel's overlay cannot be used. */
export async function openFuseOverlaySnapshotter(options: SnapshotterOptions & { readonly program: string }): Promise<SettlingSnapshotter> {
  const mount: MountOverlay = (overlay, target) => mountFuseOverlay(options.program, overlay, target, options.log);
  return await openSnapshotter(options, async directories => new OverlayForm('fuse-overlayfs', directories, mount, undefined), {
    removeTree,
  });
}

async function removeTree(layerDirectory: string): Promise<void> {
  forgetLimit(join(layerDirectory, 'diff'));
  await rm(layerDirectory, { recursive: true, force: true });
}

type MountOverlay = (overlay: Overlay, target: string) => Promise<void> | void;

class OverlayForm implements LayerForm {
  readonly name: string;
  readonly isWhole = false;
  readonly sharesBlocks = false;
  readonly hasFrame = true;
  readonly #directories: LayerDirectories;
  readonly #mountPlainly: MountOverlay;
  readonly #mapped: MappedLayers | undefined;

  constructor(name: string, directories: LayerDirectories, mountPlainly: MountOverlay, mapped: MappedLayers | undefined) {
    this.name = name;
    this.#directories = directories;
    this.#mountPlainly = mountPlainly;
    this.#mapped = mapped;
    makeFrame(directories.frame);
  }

  get idMap(): IdMap | undefined {
    return this.#mapped?.map;
  }

  async stage(): Promise<number> {
    return this.#directories.create(['diff']);
  }

  async complete(id: number, report: UnpackReport, below: readonly number[]): Promise<number> {
    await completeLayer(this.#directories.path(id, 'diff'), report, this.#diffs(below));
    return id;
  }

  async makeWritable(below: readonly number[], { isMapped, sizeBytes }: MakeWritable): Promise<number> {
    const map = isMapped ? this.#expectMapped().map : undefined;
    const [top] = this.#diffs(below);
    const id = this.#directories.create(['diff', 'work', 'merged']);
    try {
      const [upper, work] = [this.#directories.path(id, 'diff'), this.#directories.path(id, 'work')];
      // Overlay moves files from the one into the other: both count for the same.
      if (sizeBytes !== undefined) limitDirectories([upper, work], sizeBytes);
      failpoint('snapshot.prepare.limited');
      copyRootAttributes(top ?? this.#directories.empty, upper, map);
    } catch (err) {
      this.#directories.discard(id);
      throw err;
    }
    return id;
  }

  async attach(layer: WritableLayer, key: string, { isVolatile }: { readonly isVolatile: boolean }): Promise<void> {
    const { workDir, mergedDir, upperDir, lowerDirs } = this.paths(layer);
    const overlay = { lowerDirs, upperDir, workDir, volatile: isVolatile };
    const mount = layer.isMapped ? await this.#expectMapped().ready(lowerDirs) : this.#mountPlainly;
    try {
      await mount(overlay, mergedDir);
    } catch (err) {
      // An earlier volatile mount ended without its sync, and overlay warns of that. What it lost, it lost; the rest is used on purpose.
      if (!isErrno(err, 'EINVAL', 'ESTALE')) throw explainMount(err, key);
      rmSync(`${workDir}/work/incompat`, { recursive: true, force: true });
      try {
        await mount(overlay, mergedDir);
      } catch (again) {
        throw explainMount(again, key);
      }
    }
  }

  async detach(id: number): Promise<{ readonly done: Promise<void> }> {
    return await unmountInBackground(this.#directories.path(id, 'merged'));
  }

  seal(id: number): void {
    for (const part of ['work', 'merged'] as const) rmSync(this.#directories.path(id, part), { recursive: true, force: true });
  }

  paths({ id, below, isFramed }: WritableLayer): SnapshotPaths {
    const lowerDirs = [...this.#diffs(below), ...(isFramed ? [this.#directories.frame] : [])];
    return {
      lowerDirs: lowerDirs.length > 0 ? lowerDirs : [this.#directories.empty],
      upperDir: this.#directories.path(id, 'diff'),
      workDir: this.#directories.path(id, 'work'),
      mergedDir: this.#directories.path(id, 'merged'),
      recipe: this.#directories.path(id, 'recipe'),
    };
  }

  async usage({ id }: WritableLayer): Promise<number> {
    const path = this.#directories.path(id, 'diff');
    return (await treeUsage(path, { link: `${path}${mountTable.path}` })).sizeBytes;
  }

  #diffs(ids: readonly number[]): string[] {
    return ids.map(id => this.#directories.path(id, 'diff'));
  }

  #expectMapped(): MappedLayers {
    if (this.#mapped !== undefined) return this.#mapped;
    throw failedPrecondition('this daemon has no user namespaces: start it with --userns-remap');
  }
}

/** The root of a mount shows the attributes of its uppermost directory. */
function copyRootAttributes(from: string, to: string, map: IdMap | undefined): void {
  const stats = lstatSync(from);
  const { uid, gid } = hostOwner(map, stats);
  const { mode } = stats;
  if (uid !== 0 || gid !== 0) chownSync(to, uid, gid);
  chmodSync(to, mode & 0o7777);
}

function explainMount(err: unknown, key: string): unknown {
  if (!isErrno(err, 'EINVAL', 'ENODEV', 'EPERM', 'EOPNOTSUPP')) return err;
  return failedPrecondition(
    `cannot mount the root file system of ${key}: ${messageOf(err)}; the kernel needs overlayfs, and the data root a file system that can carry it (ext4, xfs with ftype=1): another --storage-driver does without`,
    { cause: err },
  );
}
