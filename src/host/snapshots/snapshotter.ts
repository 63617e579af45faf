import { renameSync, rmSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { alreadyExists, failedPrecondition, notFound } from '#base/errors.ts';
import { failpoint } from '#base/failpoint.ts';
import { KeyedLock } from '#base/keyed-lock.ts';
import type { Logger } from '#base/log.ts';
import type { IdMap } from '#core/id-map.ts';
import type { RecordStore } from '#core/records.ts';
import type {
  ChainId,
  HeldSnapshot,
  LayerDamage,
  LayerInput,
  PendingLayer,
  SnapshotPaths,
  Snapshotter,
  WritableOptions,
} from '#core/snapshots.ts';
import { type Digest, parseDigest } from '#oci/digest.ts';
import { readMounts } from '#host/sys/mountinfo.ts';
import { LayerDirectories } from './directories.ts';
import type { LayerForm, WritableLayer } from './layer-form.ts';
import { assembleLayer, checkLayer, type LayerPlace } from './layer-tar/spawn.ts';
import { type LayerRecord, openSnapshotRecords, type SnapshotRecords, type WritableRecord } from './records.ts';
import type { UnpackReport } from './unpack/result.ts';
import { unpackInto } from './unpack/spawn.ts';
import { unmountInBackground } from './unmount.ts';
import { treeUsage } from './usage.ts';

export interface SnapshotterOptions {
  readonly dir: string;
  readonly records: RecordStore;
  readonly log: Logger;
  /** Layers with more uncompressed bytes are refused; undefined: layers of any size. */
  readonly maxLayerBytes?: number | undefined;
}

export type SettlingSnapshotter = Snapshotter & { settled(): Promise<void> };

/**
 * Layers as numbered directories, in the form that a storage driver gives them. Opening recovers: directories that no record names are removed, and mounts
 * that have outlived an earlier process are taken over; those of removed writable layers are unmounted.
 */
export async function openSnapshotter(
  { dir, log, ...options }: SnapshotterOptions,
  makeForm: (directories: LayerDirectories) => Promise<LayerForm>,
  kind: { readonly removeTree?: (directory: string) => Promise<void>; readonly isOpen?: boolean } = {},
): Promise<SettlingSnapshotter> {
  const records = openSnapshotRecords(options.records);
  const layers = records.layers.list();
  const writables = records.writables.list();
  const mountedIds = mountedBelow(dir);
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
  const directories = new LayerDirectories({ dir, used, log, isOpen: kind.isOpen === true, removeTree: kind.removeTree });
  return new LayerSnapshotter({
    form: await makeForm(directories),
    directories,
    records,
    mounted,
    log,
    maxLayerBytes: options.maxLayerBytes,
  });
}

/** Numbers of the layers that are mounted. */
function mountedBelow(dir: string): Set<number> {
  const ids = readMounts()
    .filter(({ target }) => target.startsWith(`${dir}/`) && target.endsWith('/merged'))
    .map(({ target }) => Number(target.slice(dir.length + 1, -'/merged'.length)));
  return new Set(ids.filter(Number.isSafeInteger));
}

interface SnapshotterParts {
  readonly form: LayerForm;
  readonly directories: LayerDirectories;
  readonly records: SnapshotRecords;
  /** Keys of writable layers that are mounted. */
  readonly mounted: Set<string>;
  readonly log: Logger;
  readonly maxLayerBytes: number | undefined;
}

class LayerSnapshotter implements Snapshotter {
  readonly name: string;
  readonly #form: LayerForm;
  readonly #directories: LayerDirectories;
  readonly #records: SnapshotRecords;
  /** Keys of writable layers that are mounted. */
  readonly #mounted: Set<string>;
  /** How many hold a mounted layer, and whether anybody else wants it mounted. */
  readonly #holds = new Map<string, { count: number; isWanted: boolean }>();
  /** By number of the directory: what layers take that do not change any more. */
  readonly #diskBytes = new Map<number, number>();
  readonly #locks = new KeyedLock();
  readonly #log: Logger;
  readonly #maxLayerBytes: number | undefined;

  constructor({ form, directories, records, mounted, log, maxLayerBytes }: SnapshotterParts) {
    this.name = form.name;
    this.#form = form;
    this.#directories = directories;
    this.#records = records;
    this.#mounted = mounted;
    this.#log = log;
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
      isWhole: this.#form.isWhole,
    };
  }

  layerDirs(chainId: ChainId): readonly string[] {
    const dirs = this.#below(chainId).map(id => this.#directories.path(id, 'diff'));
    return this.#form.isWhole ? [] : dirs;
  }

  async unpack(tar: LayerInput, { signal }: { readonly signal: AbortSignal }): Promise<PendingLayer> {
    const id = await this.#form.stage();
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
        const made = await this.#complete(id, report, parent);
        // Another copy may have been committed meanwhile.
        if (this.has(chainId)) {
          made.discard();
          return dispose();
        }
        if (parent !== undefined && !this.has(parent)) {
          made.discard();
          throw layerNotFound(parent);
        }
        this.#records.layers.put(chainId, recordOf(made.id, parent, report));
        made.keep(dispose);
        isOpen = false;
      },
      replace: async chainId => {
        if (!isOpen) throw failedPrecondition(`layer ${chainId} cannot be replaced: the new one was committed or dropped before`);
        const made = await this.#complete(id, report, this.#layer(chainId).parent);
        const users = this.#replace(chainId, made.id, report);
        made.keep(dispose);
        isOpen = false;
        return users;
      },
      [Symbol.asyncDispose]: async () => dispose(),
    };
  }

  /** The layer may be another directory than the one it was unpacked into: `keep` then lets go of that one, `discard` of the new one. */
  async #complete(
    staged: number,
    report: UnpackReport,
    parent: ChainId | undefined,
  ): Promise<{ readonly id: number; keep(letGo: () => void): void; discard(): void }> {
    const id = await this.#form.complete(staged, report, this.#below(parent));
    failpoint('snapshot.layer.completed');
    const isOther = id !== staged;
    if (isOther && report.tarBytes !== null) renameSync(this.#directories.path(staged, 'recipe'), this.#directories.path(id, 'recipe'));
    return {
      id,
      keep: letGo => void (isOther && letGo()),
      discard: () => void (isOther && this.#directories.discard(id)),
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
    const mounted = this.#form.isWhole ? [] : [...this.#mounted];
    const users = mounted.filter(key => this.#standsOn(this.#records.writables.get(key)?.parent, chainId));
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

  /** Directories of a chain by number, uppermost first. */
  #below(chainId: ChainId | undefined): number[] {
    const ids: number[] = [];
    for (let at = chainId; at !== undefined; ) {
      const layer = this.#records.layers.get(at);
      if (layer === undefined) throw layerNotFound(at);
      ids.push(layer.id);
      at = layer.parent;
    }
    return ids;
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

  async prepare(key: string, parent: ChainId | undefined, options: WritableOptions = {}): Promise<{ readonly isFramed: boolean }> {
    if (this.#records.writables.get(key) !== undefined) throw alreadyExists(`writable layer ${key} exists already`);
    const below = this.#below(parent);
    const isMapped = options.mapped === true;
    // The frame's files belong to root of the host.
    const isFramed = options.framed === true && this.#form.hasFrame && !isMapped;
    const id = await this.#form.makeWritable(below, { isMapped, sizeBytes: options.sizeBytes });
    failpoint('snapshot.prepare.made');
    try {
      if (this.#records.writables.get(key) !== undefined) throw alreadyExists(`writable layer ${key} exists already`);
      this.#records.writables.put(key, {
        id,
        ...(parent === undefined ? {} : { parent }),
        ...(isMapped ? { mapped: true } : {}),
        ...(isFramed ? { framed: true } : {}),
      });
      return { isFramed };
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
    const layer = this.#layerOf(this.#writable(key));
    if (!this.#mounted.has(key)) await this.#form.attach(layer, key, { isVolatile: options.volatile === true });
    this.#mounted.add(key);
    return this.#form.paths(layer).mergedDir;
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
    const detached = await this.#form.detach(record.id);
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
    this.#form.seal(id);
  }

  keys(): string[] {
    return this.#records.writables.list().map(({ key }) => key);
  }

  idMapOf(key: string): IdMap | undefined {
    return this.#writable(key).mapped === true ? this.#form.idMap : undefined;
  }

  #writable(key: string): WritableRecord {
    const record = this.#records.writables.get(key);
    if (record === undefined) throw notFound(`no writable layer ${key}`);
    return record;
  }

  #layerOf({ id, parent, mapped, framed }: WritableRecord): WritableLayer {
    return { id, below: this.#below(parent), isMapped: mapped === true, isFramed: framed === true };
  }

  paths(key: string): SnapshotPaths {
    return this.#form.paths(this.#layerOf(this.#writable(key)));
  }

  async usage(key: string, { onDisk = false }: { readonly onDisk?: boolean } = {}): Promise<number> {
    const layer = this.#layerOf(this.#writable(key));
    return onDisk && !this.#form.sharesBlocks
      ? (await treeUsage(this.#directories.path(layer.id, 'diff'))).diskBytes
      : await this.#form.usage(layer);
  }

  async diskUsage(chainId: ChainId): Promise<number | undefined> {
    const layer = this.#records.layers.get(chainId);
    if (layer === undefined) return undefined;
    // What several trees share is on the disk once; the files of the layer are about what it adds.
    if (this.#form.sharesBlocks) return layer.sizeBytes;
    const known = this.#diskBytes.get(layer.id);
    if (known !== undefined) return known;
    const path = this.#directories.path(layer.id);
    const { diskBytes } = await treeUsage(path);
    // A file system may still change its mind about what it has just been given.
    const { birthtimeMs } = await stat(path).catch(() => ({ birthtimeMs: Date.now() }));
    if (Date.now() - birthtimeMs > settledMs) this.#diskBytes.set(layer.id, diskBytes);
    return diskBytes;
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

const settledMs = 300_000;

const layerNotFound = (chainId: ChainId) => notFound(`layer ${chainId} is not unpacked here`);
