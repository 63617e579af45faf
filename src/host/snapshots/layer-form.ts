import type { IdMap } from '#core/id-map.ts';
import type { SnapshotPaths } from '#core/snapshots.ts';
import type { UnpackReport } from './unpack/result.ts';

export interface MakeWritable {
  readonly isMapped: boolean;
  readonly sizeBytes: number | undefined;
}

/** A writable layer by the numbers of directories. */
export interface WritableLayer {
  readonly id: number;
  /** The layers it stands on, uppermost first. */
  readonly below: readonly number[];
  /** For a user namespace. */
  readonly isMapped: boolean;
  /** With what every container needs below all layers. */
  readonly isFramed: boolean;
}

/**
 * What one storage driver does in its own way; records, locks and removal are the snapshotter's. A layer is a numbered directory whose part `diff` holds its
 * files. Whatever a method that rejects has made is gone, but for the staged directory, which is the caller's.
 */
export interface LayerForm {
  /** As `docker info` names it. */
  readonly name: string;
  /** Whether each layer is a whole tree instead of what it changes. */
  readonly isWhole: boolean;
  /** Whether what is the same in several layers takes its space once, so that the blocks of a directory say nothing. */
  readonly sharesBlocks: boolean;
  /** Whether there is something to put below the layers of containers. */
  readonly hasFrame: boolean;
  /** How owners are mapped for user namespaces; undefined: there are none. */
  readonly idMap: IdMap | undefined;
  /** A new directory for a tar to be unpacked into. */
  stage(): Promise<number>;
  /** Makes an unpacked tar a layer on top of `below` (uppermost first). The layer is the directory that this resolves with, which may be another one. */
  complete(id: number, report: UnpackReport, below: readonly number[]): Promise<number>;
  makeWritable(below: readonly number[], options: MakeWritable): Promise<number>;
  /** `key` is for messages. */
  attach(layer: WritableLayer, key: string, options: { readonly isVolatile: boolean }): Promise<void>;
  /** Out of sight when it resolves; `done` when everything is on disk. Not attached is fine. */
  detach(id: number): Promise<{ readonly done: Promise<void> }>;
  /** A detached writable layer becomes one of an image. */
  seal(id: number): void;
  paths(layer: WritableLayer): SnapshotPaths;
  /** Bytes that a writable layer itself holds. */
  usage(layer: WritableLayer): Promise<number>;
}
