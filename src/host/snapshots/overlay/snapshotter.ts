import { chmodSync, chownSync, lstatSync, mkdirSync, rmSync } from 'node:fs';
import { alreadyExists, failedPrecondition, isErrno, notFound } from '#base/errors.ts';
import { failpoint } from '#base/failpoint.ts';
import { KeyedLock } from '#base/keyed-lock.ts';
import type { Logger } from '#base/log.ts';
import { hostOwner, type IdMap } from '#core/id-map.ts';
import type { RecordStore } from '#core/records.ts';
import type { ChainId, HeldSnapshot, LayerDamage, LayerInput, PendingLayer, SnapshotPaths, Snapshotter } from '#core/snapshots.ts';
import { spreadSubdirectories } from '#host/sys/inode-flags.ts';
import { mountOverlay as mountOverlayPlainly } from '#host/sys/mount.ts';
import { readMounts } from '#host/sys/mountinfo.ts';
import { type Digest, parseDigest } from '#oci/digest.ts';
import { assembleLayer, checkLayer, type LayerPlace } from '../layer-tar/spawn.ts';
import type { UnpackReport } from '../unpack/result.ts';
import { unpackInto } from '../unpack/spawn.ts';
import { completeLayer } from './complete-layer.ts';
import { LayerDirectories } from './directories.ts';
import { type MappedLayers, type MappedOwners, openMappedLayers } from './mapped-layers.ts';
import { type LayerRecord, openSnapshotRecords, type SnapshotRecords, type WritableRecord } from './records.ts';
import { unmountInBackground } from './unmount.ts';
import { treeBytes } from './usage.ts';

/**
 * Layers as directories, stacked by the kernel's overlay file system. Opening recovers: directories that no record names are removed, and mounts that
 * have outlived an earlier process are taken over; those of removed writable layers are unmounted.
 */
export async function openOverlaySnapshotter(options: {
  readonly dir: string;
  readonly records: RecordStore;
  readonly log: Logger;
  /** For containers with a user namespace. */
  readonly owners?: MappedOwners;
  /** Layers with more uncompressed bytes are refused; undefined: layers of any size. */
  readonly maxLayerBytes?: number | undefined;
}): Promise<Snapshotter & { settled(): Promise<void> }> {
  const { dir, log } = options;
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  spreadSubdirectories(dir);
  const records = openSnapshotRecords(options.records);
  const layers = records.layers.list();
  const writables = records.writables.list();

  const mountedIds = new Set<number>();
  for (const { target } of readMounts()) {
    const id =
      target.startsWith(`${dir}/`) && target.endsWith('/merged') ? Number(target.slice(dir.length + 1, -'/merged'.length)) : Number.NaN;
    if (Number.isSafeInteger(id)) mountedIds.add(id);
  }
  const mounted = new Set<string>();
  for (const { key, value } of writables) if (mountedIds.delete(value.id)) mounted.add(key);
  for (const id of mountedIds) {
    log.info('unmounted a layer that nobody knows', { id });
    await (await unmountInBackground(`${dir}/${String(id)}/merged`)).done;
  }

  for (const { key, value } of records.retired.list()) {
    const users = value.users.filter(user => mounted.has(user));
    if (users.length === 0) records.retired.delete(key);
    else records.retired.put(key, { users });
  }
  const retired = records.retired.list().map(({ key }) => Number(key));
  const used = new Set([...[...layers, ...writables].map(({ value }) => value.id), ...retired]);
  const { owners } = options;
  const directories = new LayerDirectories(dir, used, log, owners !== undefined);
  return new OverlaySnapshotter(
    directories,
    records,
    mounted,
    log,
    owners && openMappedLayers(directories, owners, log),
    options.maxLayerBytes,
  );
}

class OverlaySnapshotter implements Snapshotter {
  readonly name = 'overlay2';
  readonly #directories: LayerDirectories;
  readonly #records: SnapshotRecords;
  /** Keys of writable layers that are mounted. */
  readonly #mounted: Set<string>;
  /** How many hold a mounted layer, and whether anybody else wants it mounted. */
  readonly #holds = new Map<string, { count: number; isWanted: boolean }>();
  readonly #locks = new KeyedLock();
  readonly #log: Logger;
  readonly #mappedLayers: MappedLayers | undefined;
  readonly #maxLayerBytes: number | undefined;

  constructor(
    directories: LayerDirectories,
    records: SnapshotRecords,
    mounted: Set<string>,
    log: Logger,
    mappedLayers: MappedLayers | undefined,
    maxLayerBytes: number | undefined,
  ) {
    this.#directories = directories;
    this.#records = records;
    this.#mounted = mounted;
    this.#log = log;
    this.#mappedLayers = mappedLayers;
    this.#maxLayerBytes = maxLayerBytes;
  }

  has(chainId: ChainId): boolean {
    return this.#records.layers.get(chainId) !== undefined;
  }

  chains(): { readonly chainId: ChainId; readonly parent: ChainId | undefined }[] {
    // A layer is recorded when its parent is, and a replacement keeps its place in the list.
    return this.#records.layers.list().map(({ key, value }) => ({ chainId: key as ChainId, parent: value.parent }));
  }

  layerSize(chainId: ChainId): number | undefined {
    return this.#records.layers.get(chainId)?.sizeBytes;
  }

  tarSize(chainId: ChainId): number | undefined {
    return this.#records.layers.get(chainId)?.tar?.sizeBytes;
  }

  tar(chainId: ChainId, { signal }: { readonly signal: AbortSignal }): AsyncIterable<Uint8Array> {
    return assembleLayer(this.#place(chainId), signal);
  }

  async check(
    chainId: ChainId,
    { tar, signal }: { readonly tar?: AsyncIterable<Uint8Array>; readonly signal: AbortSignal },
  ): Promise<{ readonly diffId: Digest; readonly damage: readonly LayerDamage[] }> {
    const { diffId, damage } = await checkLayer(this.#place(chainId), tar, signal);
    return { diffId: parseDigest(diffId), damage };
  }

  #place(chainId: ChainId): LayerPlace {
    const { id, tar } = this.#layer(chainId);
    return {
      directory: this.#directories.path(id, 'diff'),
      recipe: tar === undefined ? undefined : this.#directories.path(id, 'recipe'),
      isPacked: tar?.packed === true,
    };
  }

  layerDirs(chainId: ChainId): readonly string[] {
    return this.#lowerDirs(chainId);
  }

  async unpack(tar: LayerInput, { signal }: { readonly signal: AbortSignal }): Promise<PendingLayer> {
    const id = this.#directories.create(['diff']);
    try {
      const recipePath = this.#directories.path(id, 'recipe');
      const options = { recipePath, maxBytes: this.#maxLayerBytes };
      const report = await unpackInto(this.#directories.path(id, 'diff'), tar, signal, options);
      if (report.tarBytes === null) rmSync(recipePath, { force: true });
      return this.#pending(id, report);
    } catch (err) {
      this.#directories.discard(id);
      throw err;
    }
  }

  #pending(id: number, report: UnpackReport): PendingLayer {
    let isOpen = true;
    const dispose = (): void => {
      if (isOpen) this.#directories.discard(id);
      isOpen = false;
    };
    return {
      unpacked: { diffId: parseDigest(report.diffId), sizeBytes: report.sizeBytes },
      commit: async (chainId, parent) => {
        if (!isOpen) throw failedPrecondition(`layer ${chainId} cannot be committed: it was committed or dropped before`);
        if (this.has(chainId)) return dispose();
        await completeLayer(this.#directories.path(id, 'diff'), report, this.#lowerDirs(parent));
        failpoint('snapshot.layer.completed');
        // Another copy may have been committed meanwhile.
        if (this.has(chainId)) return dispose();
        if (parent !== undefined && !this.has(parent)) throw layerNotFound(parent);
        this.#records.layers.put(chainId, recordOf(id, parent, report));
        isOpen = false;
      },
      replace: async chainId => {
        if (!isOpen) throw failedPrecondition(`layer ${chainId} cannot be replaced: the new one was committed or dropped before`);
        await completeLayer(this.#directories.path(id, 'diff'), report, this.#lowerDirs(this.#layer(chainId).parent));
        isOpen = false;
        return this.#replace(chainId, id, report);
      },
      [Symbol.asyncDispose]: async () => dispose(),
    };
  }

  #layer(chainId: ChainId): LayerRecord {
    const layer = this.#records.layers.get(chainId);
    if (layer === undefined) throw layerNotFound(chainId);
    return layer;
  }

  /** Overlay must not see its lower directories change: the old one stays as it is for whom it is mounted. */
  #replace(chainId: ChainId, id: number, report: UnpackReport): string[] {
    const old = this.#layer(chainId);
    const users = [...this.#mounted].filter(key => this.#standsOn(this.#records.writables.get(key)?.parent, chainId));
    this.#records.transaction(() => {
      this.#records.layers.put(chainId, recordOf(id, old.parent, report));
      if (users.length > 0) this.#records.retired.put(String(old.id), { users });
    });
    failpoint('snapshot.replace.recorded');
    if (users.length === 0) this.#directories.discard(old.id);
    return users;
  }

  #standsOn(top: ChainId | undefined, chainId: ChainId): boolean {
    for (let at = top; at !== undefined; at = this.#records.layers.get(at)?.parent) if (at === chainId) return true;
    return false;
  }

  /** Directories that were kept only for this writable layer are not needed any more. */
  #letRetiredGo(key: string): void {
    for (const { key: id, value } of this.#records.retired.list()) {
      const users = value.users.filter(user => user !== key);
      if (users.length === value.users.length) continue;
      if (users.length > 0) {
        this.#records.retired.put(id, { users });
        continue;
      }
      this.#records.retired.delete(id);
      this.#directories.discard(Number(id));
    }
  }

  /** Directories of a chain, uppermost first. */
  #lowerDirs(chainId: ChainId | undefined): string[] {
    const dirs: string[] = [];
    for (let at = chainId; at !== undefined; ) {
      const layer = this.#records.layers.get(at);
      if (layer === undefined) throw layerNotFound(at);
      dirs.push(this.#directories.path(layer.id, 'diff'));
      at = layer.parent;
    }
    return dirs;
  }

  pinned(): ReadonlySet<ChainId> {
    return new Set(this.#records.writables.list().flatMap(({ value }) => (value.parent === undefined ? [] : [value.parent])));
  }

  async collect(keep: ReadonlySet<ChainId>): Promise<number> {
    const layers = new Map(this.#records.layers.list().map(({ key, value }) => [key as ChainId, value]));
    const used = new Set<ChainId>();
    for (const top of [...keep, ...this.pinned()]) {
      for (let at: ChainId | undefined = top; at !== undefined && !used.has(at); at = layers.get(at)?.parent) used.add(at);
    }
    const unused = [...layers].filter(([chainId]) => !used.has(chainId));
    this.#records.transaction(() => {
      for (const [chainId] of unused) this.#records.layers.delete(chainId);
    });
    failpoint('snapshot.collect.forgotten');
    for (const [, layer] of unused) this.#directories.discard(layer.id);
    return unused.reduce((bytes, [, layer]) => bytes + layer.sizeBytes, 0);
  }

  async prepare(key: string, parent: ChainId | undefined, options: { readonly mapped?: boolean } = {}): Promise<void> {
    if (this.#records.writables.get(key) !== undefined) throw alreadyExists(`writable layer ${key} exists already`);
    const map = options.mapped === true ? this.#expectMapped().map : undefined;
    const [top] = this.#lowerDirs(parent);
    const id = this.#directories.create(['diff', 'work', 'merged']);
    try {
      copyRootAttributes(top ?? this.#directories.empty, this.#directories.path(id, 'diff'), map);
      failpoint('snapshot.prepare.made');
      this.#records.writables.put(key, { id, ...(parent === undefined ? {} : { parent }), ...(map === undefined ? {} : { mapped: true }) });
    } catch (err) {
      this.#directories.discard(id);
      throw err;
    }
  }

  async mount(key: string, options: { readonly volatile?: boolean } = {}): Promise<string> {
    using _held = await this.#locks.acquire(key);
    const hold = this.#holds.get(key);
    if (hold !== undefined) hold.isWanted = true;
    return await this.#attach(key, options);
  }

  async #attach(key: string, options: { readonly volatile?: boolean }): Promise<string> {
    const { workDir, mergedDir, upperDir, lowerDirs } = this.paths(key);
    if (this.#mounted.has(key)) return mergedDir;
    const overlay = { lowerDirs, upperDir, workDir, volatile: options.volatile === true };
    const isMapped = this.#writable(key).mapped === true;
    const mountOverlay = isMapped ? await this.#expectMapped().ready(lowerDirs) : mountOverlayPlainly;
    try {
      mountOverlay(overlay, mergedDir);
    } catch (err) {
      // An earlier volatile mount ended without its sync, and overlay warns of that. What it lost, it lost; the rest is used on purpose.
      if (!isErrno(err, 'EINVAL', 'ESTALE')) throw explainMount(err, key);
      rmSync(`${workDir}/work/incompat`, { recursive: true, force: true });
      try {
        mountOverlay(overlay, mergedDir);
      } catch (again) {
        throw explainMount(again, key);
      }
    }
    this.#mounted.add(key);
    return mergedDir;
  }

  async unmount(key: string): Promise<void> {
    using _held = await this.#locks.acquire(key);
    const hold = this.#holds.get(key);
    if (hold === undefined) return await this.#detachIfThere(key);
    hold.isWanted = false;
  }

  async hold(key: string): Promise<HeldSnapshot> {
    using _held = await this.#locks.acquire(key);
    const isWanted = this.#mounted.has(key);
    const path = await this.#attach(key, {});
    const hold = this.#holds.get(key) ?? { count: 0, isWanted };
    this.#holds.set(key, hold);
    hold.count += 1;
    let isOpen = true;
    return {
      path,
      [Symbol.asyncDispose]: async () => {
        if (!isOpen) return;
        isOpen = false;
        await this.#letGo(key, hold);
      },
    };
  }

  async #letGo(key: string, hold: { count: number; readonly isWanted: boolean }): Promise<void> {
    using _held = await this.#locks.acquire(key);
    hold.count -= 1;
    // The layer may have been removed, and another one made with its key.
    if (hold.count > 0 || this.#holds.get(key) !== hold) return;
    this.#holds.delete(key);
    if (!hold.isWanted) await this.#detachIfThere(key);
  }

  async #detachIfThere(key: string): Promise<void> {
    const record = this.#records.writables.get(key);
    if (record !== undefined) await (await this.#detach(key, record)).done;
  }

  async #detach(key: string, record: WritableRecord): Promise<{ readonly done: Promise<void> }> {
    if (!this.#mounted.has(key)) return { done: Promise.resolve() };
    const detached = await unmountInBackground(this.#directories.path(record.id, 'merged'));
    this.#mounted.delete(key);
    this.#letRetiredGo(key);
    return detached;
  }

  async remove(key: string): Promise<boolean> {
    using _held = await this.#locks.acquire(key);
    const record = this.#records.writables.get(key);
    if (record === undefined) return false;
    this.#holds.delete(key);
    // Nobody waits until the files that go away now are safe on disk.
    const { done } = await this.#detach(key, record);
    done.catch((err: unknown) => this.#log.warn('unmounting a removed layer failed', { key, error: err }));
    failpoint('snapshot.remove.unmounted');
    this.#records.writables.delete(key);
    failpoint('snapshot.remove.forgotten');
    this.#directories.discard(record.id);
    return true;
  }

  async commit(key: string, chainId: ChainId, made: { readonly sizeBytes: number; readonly tarBytes?: number | undefined }): Promise<void> {
    using _held = await this.#locks.acquire(key);
    const record = this.#records.writables.get(key);
    if (record === undefined) throw notFound(`no writable layer ${key}`);
    const { done } = await this.#detach(key, record);
    await done;
    const { id, parent } = record;
    const isNew = !this.has(chainId);
    failpoint('snapshot.commit.unmounted');
    this.#records.transaction(() => {
      this.#records.writables.delete(key);
      if (isNew) this.#records.layers.put(chainId, recordOf(id, parent, { ...made, tarBytes: made.tarBytes ?? null }, true));
    });
    failpoint('snapshot.commit.recorded');
    if (!isNew) return this.#directories.discard(id);
    for (const part of ['work', 'merged'] as const) rmSync(this.#directories.path(id, part), { recursive: true, force: true });
  }

  keys(): string[] {
    return this.#records.writables.list().map(({ key }) => key);
  }

  idMapOf(key: string): IdMap | undefined {
    return this.#writable(key).mapped === true ? this.#expectMapped().map : undefined;
  }

  #writable(key: string): WritableRecord {
    const record = this.#records.writables.get(key);
    if (record === undefined) throw notFound(`no writable layer ${key}`);
    return record;
  }

  #expectMapped(): MappedLayers {
    if (this.#mappedLayers !== undefined) return this.#mappedLayers;
    throw failedPrecondition('this daemon has no user namespaces: start it with --userns-remap');
  }

  paths(key: string): SnapshotPaths {
    const record = this.#writable(key);
    const lowerDirs = this.#lowerDirs(record.parent);
    return {
      lowerDirs: lowerDirs.length > 0 ? lowerDirs : [this.#directories.empty],
      upperDir: this.#directories.path(record.id, 'diff'),
      workDir: this.#directories.path(record.id, 'work'),
      mergedDir: this.#directories.path(record.id, 'merged'),
      recipe: this.#directories.path(record.id, 'recipe'),
    };
  }

  async usage(key: string): Promise<number> {
    return await treeBytes(this.paths(key).upperDir);
  }

  async settled(): Promise<void> {
    await this.#directories.settled();
  }
}

function recordOf(
  id: number,
  parent: ChainId | undefined,
  { sizeBytes, tarBytes }: Pick<UnpackReport, 'sizeBytes' | 'tarBytes'>,
  isPacked = false,
): LayerRecord {
  const tar = tarBytes === null ? {} : { tar: { sizeBytes: tarBytes, ...(isPacked ? { packed: true as const } : {}) } };
  return { id, ...(parent === undefined ? {} : { parent }), sizeBytes, ...tar };
}

const layerNotFound = (chainId: ChainId) => notFound(`layer ${chainId} is not unpacked here`);

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
    `cannot mount the root file system of ${key}: ${err instanceof Error ? err.message : ''}; the kernel needs overlayfs, and the data root a file system that can carry it (ext4, xfs with ftype=1)`,
    { cause: err },
  );
}
