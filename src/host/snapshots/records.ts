import type { RecordStore, RecordTable } from '#core/records.ts';
import type { ChainId } from '#core/snapshots.ts';

/** A read-only layer; its key is the chain id. */
export interface LayerRecord {
  /** Names the directory. */
  readonly id: number;
  readonly parent?: ChainId;
  readonly sizeBytes: number;
  /** The tar can be made again of the layer's files. `packed`: those were there first, and the tar was made of them. */
  readonly tar?: { readonly sizeBytes: number; readonly packed?: true };
}

/** A writable layer; its key is the caller's. */
export interface WritableRecord {
  readonly id: number;
  readonly parent?: ChainId;
  /** Its files belong to the ids of a user namespace. */
  readonly mapped?: true;
  /** Below its layers is what every container needs. */
  readonly framed?: true;
}

/** A layer's directory that another one has replaced; its key is the directory's number. */
export interface RetiredRecord {
  /** Keys of writable layers that are mounted on it. */
  readonly users: readonly string[];
}

export interface SnapshotRecords {
  readonly layers: RecordTable<LayerRecord>;
  readonly writables: RecordTable<WritableRecord>;
  readonly retired: RecordTable<RetiredRecord>;
  transaction<T>(action: () => T): T;
}

export const openSnapshotRecords = (records: RecordStore): SnapshotRecords => ({
  layers: records.table('layers'),
  writables: records.table('writable-layers'),
  retired: records.table('retired-layers'),
  transaction: action => records.transaction(action),
});
