import { statSync, writeFileSync } from 'node:fs';
import { failedPrecondition } from '#base/errors.ts';
import { failpoint } from '#base/failpoint.ts';
import type { SnapshotPaths } from '#core/snapshots.ts';
import { completeLayer } from '../complete-layer.ts';
import type { LayerDirectories } from '../directories.ts';
import type { LayerForm, MakeWritable, WritableLayer } from '../layer-form.ts';
import { openSnapshotter, type SettlingSnapshotter, type SnapshotterOptions } from '../snapshotter.ts';
import type { UnpackReport } from '../unpack/result.ts';
import { applyLayer } from './apply.ts';
import { changedBytes } from './changed-bytes.ts';

/** How whole trees are made. Every path but that of `make` is of a tree that is there. */
export interface Trees {
  /** As `docker info` names it. */
  readonly name: string;
  /** Whether a copy takes no space of its own. */
  readonly sharesBlocks: boolean;
  /** Makes an empty one. */
  make(directory: string): Promise<void> | void;
  /** Makes another one with all that is in the first: owners, modes, times, attributes, hard links. */
  copy(from: string, to: string): Promise<void> | void;
  /** Removes a layer's directory with the tree in it. */
  remove(layerDirectory: string): Promise<void>;
  /** Rejects with FailedPrecondition where it cannot be done. */
  limit(directory: string, sizeBytes: number): void;
}

/** Each layer as a whole tree: nothing is mounted, and the file system needs to know no overlay. */
export async function openWholeTreeSnapshotter(options: SnapshotterOptions, trees: Trees): Promise<SettlingSnapshotter> {
  return await openSnapshotter(options, async directories => new WholeForm(directories, trees), { removeTree: path => trees.remove(path) });
}

class WholeForm implements LayerForm {
  readonly isWhole = true;
  readonly hasFrame = false;
  readonly idMap = undefined;
  readonly #directories: LayerDirectories;
  readonly #trees: Trees;

  constructor(directories: LayerDirectories, trees: Trees) {
    this.#directories = directories;
    this.#trees = trees;
  }

  get sharesBlocks(): boolean {
    return this.#trees.sharesBlocks;
  }

  get name(): string {
    return this.#trees.name;
  }

  async stage(): Promise<number> {
    return await this.#make(tree => this.#trees.make(tree));
  }

  /** Makes a directory with a tree in it; neither is there when that fails. */
  async #make(fill: (tree: string) => Promise<void> | void): Promise<number> {
    const id = this.#directories.create([]);
    try {
      await fill(this.#tree(id));
    } catch (err) {
      this.#directories.discard(id);
      throw err;
    }
    return id;
  }

  async complete(staged: number, report: UnpackReport, [parent]: readonly number[]): Promise<number> {
    const changes = this.#tree(staged);
    const below = parent === undefined ? undefined : this.#tree(parent);
    await completeLayer(changes, report, below === undefined ? [] : [below]);
    if (below === undefined) {
      await applyLayer(changes, undefined);
      return staged;
    }
    return await this.#make(async tree => {
      await this.#trees.copy(below, tree);
      failpoint('snapshot.whole.copied');
      await applyLayer(changes, tree);
      failpoint('snapshot.whole.applied');
    });
  }

  async makeWritable([parent]: readonly number[], { isMapped, sizeBytes }: MakeWritable): Promise<number> {
    if (isMapped) throw failedPrecondition(`the storage driver ${this.name} has no user namespaces: overlay2 has`);
    const id = await this.#make(async tree => {
      await (parent === undefined ? this.#trees.make(tree) : this.#trees.copy(this.#tree(parent), tree));
      if (sizeBytes !== undefined) this.#trees.limit(tree, sizeBytes);
    });
    failpoint('snapshot.whole.made');
    writeFileSync(this.#stamp(id), '', { flag: 'wx', mode: 0o600 });
    return id;
  }

  async attach(): Promise<void> {
    // The tree is there all the time.
  }

  async detach(): Promise<{ readonly done: Promise<void> }> {
    return { done: Promise.resolve() };
  }

  seal(): void {
    // A tree is a tree.
  }

  paths({ id, below: [parent] }: WritableLayer): SnapshotPaths {
    const tree = this.#tree(id);
    return {
      lowerDirs: parent === undefined ? [] : [this.#tree(parent)],
      upperDir: tree,
      workDir: '',
      mergedDir: tree,
      recipe: this.#directories.path(id, 'recipe'),
      copiedAtNs: String(statSync(this.#stamp(id), { bigint: true }).mtimeNs),
    };
  }

  async usage(layer: WritableLayer): Promise<number> {
    const { upperDir, lowerDirs, copiedAtNs } = this.paths(layer);
    return await changedBytes(upperDir, lowerDirs[0], BigInt(copiedAtNs ?? 0));
  }

  #tree(id: number): string {
    return this.#directories.path(id, 'diff');
  }

  /** Written when a writable tree was complete. Its time comes from the same clock as the change times in the tree. */
  #stamp(id: number): string {
    return this.#tree(id).replace(/diff$/, 'copied');
  }
}
