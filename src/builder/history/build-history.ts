import { mkdir, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { conflict, notFound } from '#base/errors.ts';
import { failpoint } from '#base/failpoint.ts';
import { newId } from '#base/id.ts';
import { KeyedLock } from '#base/keyed-lock.ts';
import type { Logger } from '#base/log.ts';
import type { RecordStore, RecordTable } from '#core/records.ts';
import { type Digest, encodedOf, sha256 } from '#oci/digest.ts';
import {
  blobsOf,
  type BuildRecord,
  type HistoryBlob,
  type HistoryDocument,
  type HistoryEvent,
  type RecordDocuments,
} from './build-record.ts';

/** What is kept at most of what nobody has pinned; the build that has ended last is always kept. */
export interface HistoryLimits {
  readonly records: number;
  readonly bytes: number;
}

export const historyLimits: HistoryLimits = { records: 100, bytes: 64 * 1024 * 1024 };

export type EndedBuild = Omit<BuildRecord, 'documents' | 'isPinned' | 'generation' | 'completedAt'> & {
  readonly completedAt: string;
  readonly documents: RecordDocuments<HistoryDocument>;
};

/**
 * The builds that are under way and those that have ended. The latter survive the daemon, each with its documents: files with the digests of their contents for
 * names, written before the record and removed when no record has them any more.
 */
export class BuildHistory {
  readonly #dir: string;
  readonly #table: RecordTable<BuildRecord>;
  readonly #log: Pick<Logger, 'warn'>;
  readonly #limits: HistoryLimits;
  readonly #active = new Map<string, BuildRecord>();
  readonly #ended: Map<string, BuildRecord>;
  readonly #listeners = new Set<(event: HistoryEvent) => void>();
  /** Between writing a document and recording whose it is, no document is removed. */
  readonly #lock = new KeyedLock();

  constructor(dir: string, records: RecordStore, log: Pick<Logger, 'warn'>, limits: HistoryLimits = historyLimits) {
    this.#dir = dir;
    this.#log = log;
    this.#limits = limits;
    this.#table = records.table('build-history');
    this.#ended = new Map(this.#table.list().map(({ key, value }) => [key, value]));
  }

  /** Builds that are under way first, then those that have ended. */
  list(): BuildRecord[] {
    return [...this.#active.values(), ...this.#ended.values()];
  }

  /** A build that is under way or has ended. */
  find(ref: string): BuildRecord | undefined {
    return this.#active.get(ref) ?? this.#ended.get(ref);
  }

  /** Tells of what happens from now on, until it is disposed. */
  listen(listener: (event: HistoryEvent) => void): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => void this.#listeners.delete(listener) };
  }

  begin(build: Pick<BuildRecord, 'ref' | 'frontend' | 'options' | 'exporters' | 'createdAt'>): void {
    const none = { total: 0, completed: 0, cached: 0, warnings: 0 };
    const record: BuildRecord = { ...build, response: {}, steps: none, documents: { attestations: {} }, isPinned: false, generation: 0 };
    this.#active.set(build.ref, record);
    this.#tell({ kind: 'started', record });
  }

  /** A record that cannot be written is a line in the log: the build itself is done. */
  async end({ documents, ...build }: EndedBuild): Promise<void> {
    try {
      using _turn = await this.#lock.acquire('');
      const { logs, trace, error, attestations } = documents;
      const kept = Object.entries(attestations).map(async ([platform, all]) => [
        platform,
        await Promise.all(all.map(each => this.#write(each))),
      ]);
      const record: BuildRecord = {
        ...build,
        documents: {
          ...(logs !== undefined && { logs: await this.#write(logs) }),
          ...(trace !== undefined && { trace: await this.#write(trace) }),
          ...(error !== undefined && { error: await this.#write(error) }),
          attestations: Object.fromEntries(await Promise.all(kept)) as Record<string, HistoryBlob[]>,
        },
        isPinned: false,
        generation: 1,
      };
      failpoint('build.history.written');
      this.#put(record);
      await this.#remove(this.#tooMany(record.ref));
    } catch (err) {
      this.#log.warn('a build is not remembered', { ref: build.ref, error: err });
    } finally {
      this.#active.delete(build.ref);
    }
  }

  /** Rejects with NotFound. */
  pin(ref: string, isPinned: boolean): void {
    const record = this.#require(ref);
    this.#put({ ...record, isPinned, generation: record.generation + 1 });
  }

  /** Rejects with NotFound, and with Conflict for a build that is under way. */
  async delete(ref: string): Promise<void> {
    using _turn = await this.#lock.acquire('');
    await this.#remove([this.#require(ref)]);
  }

  /** Forgets the builds that ended so long ago and are not pinned. */
  async prune(endedForMs: number): Promise<void> {
    using _turn = await this.#lock.acquire('');
    const latest = Date.now() - endedForMs;
    await this.#remove(this.#loose().filter(({ completedAt }) => Date.parse(completedAt ?? '') <= latest));
  }

  /** The file of a document that some record has. Rejects with NotFound. */
  document(digest: string): { readonly path: string; readonly blob: HistoryBlob } {
    const blob = this.list()
      .flatMap(({ documents }) => blobsOf(documents))
      .find(each => each.digest === digest);
    if (blob === undefined) throw notFound(`content ${digest}: not found`);
    return { path: this.#place(blob.digest), blob };
  }

  /** Removes documents that no record has. Call once, before anything else. */
  async recover(): Promise<void> {
    await mkdir(this.#dir, { recursive: true, mode: 0o700 });
    const wanted = this.#wantedFiles();
    for (const name of await readdir(this.#dir)) if (!wanted.has(name)) await rm(join(this.#dir, name), { force: true });
  }

  #require(ref: string): BuildRecord {
    if (this.#active.has(ref)) throw conflict(`the build ${ref} is under way`);
    const record = this.#ended.get(ref);
    if (record === undefined) throw notFound(`no record of a build ${ref}`);
    return record;
  }

  /** Oldest first. */
  #loose(): BuildRecord[] {
    return [...this.#ended.values()]
      .filter(({ isPinned }) => !isPinned)
      .sort((a, b) => ((a.completedAt ?? '') < (b.completedAt ?? '') ? -1 : 1));
  }

  #tooMany(newest: string): BuildRecord[] {
    const loose = this.#loose();
    let bytes = loose.reduce((sum, { documents }) => sum + sizeOf(documents), 0);
    let count = loose.length;
    return loose.filter(({ ref, documents }) => {
      if (ref === newest || (count <= this.#limits.records && bytes <= this.#limits.bytes)) return false;
      count -= 1;
      bytes -= sizeOf(documents);
      return true;
    });
  }

  #put(record: BuildRecord): void {
    this.#active.delete(record.ref);
    this.#table.put(record.ref, record);
    this.#ended.set(record.ref, record);
    this.#tell({ kind: 'complete', record });
  }

  async #remove(records: readonly BuildRecord[]): Promise<void> {
    for (const record of records) {
      this.#table.delete(record.ref);
      this.#ended.delete(record.ref);
      this.#tell({ kind: 'deleted', record });
    }
    if (records.length > 0) failpoint('build.history.forgotten');
    const wanted = this.#wantedFiles();
    for (const { digest } of records.flatMap(({ documents }) => blobsOf(documents)))
      if (!wanted.has(encodedOf(digest))) await rm(this.#place(digest), { force: true });
  }

  #wantedFiles(): Set<string> {
    return new Set([...this.#ended.values()].flatMap(({ documents }) => blobsOf(documents).map(({ digest }) => encodedOf(digest))));
  }

  async #write({ mediaType, bytes, annotations = {} }: HistoryDocument): Promise<HistoryBlob> {
    const digest = sha256(bytes);
    const unfinished = join(this.#dir, `${newId().slice(0, 12)}.tmp`);
    await writeFile(unfinished, bytes, { mode: 0o600 });
    await rename(unfinished, this.#place(digest));
    return { mediaType, digest, sizeBytes: bytes.length, annotations };
  }

  #place(digest: Digest): string {
    return join(this.#dir, encodedOf(digest));
  }

  #tell(event: HistoryEvent): void {
    for (const listener of this.#listeners) listener(event);
  }
}

const sizeOf = (documents: RecordDocuments<HistoryBlob>): number => blobsOf(documents).reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
