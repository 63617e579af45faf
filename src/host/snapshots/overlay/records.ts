import type { RecordStore, RecordTable } from '#core/records.ts';
import type { ChainId } from '#core/snapshots.ts';

/** A read-only layer; its key is the chain id. */
export interface LayerRecord {
  /** Names the directory. */
  readonly id: number;
  readonly parent?: ChainId;
  readonly sizeBytes: number;
}

/** A writable layer; its key is the caller's. */
export interface WritableRecord {
  readonly id: number;
  readonly parent?: ChainId;
  /** Its files belong to the ids of a user namespace. */
  readonly mapped?: true;
}

export interface SnapshotRecords {
  readonly layers: RecordTable<LayerRecord>;
  readonly writables: RecordTable<WritableRecord>;
  transaction<T>(action: () => T): T;
}

export const openSnapshotRecords = (records: RecordStore): SnapshotRecords => ({
  layers: records.table('layers'),
  writables: records.table('writable-layers'),
  transaction: action => records.transaction(action),
});
