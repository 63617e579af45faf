import type { Digest } from '#oci/digest.ts';

/** What is remembered of a build. */
export interface BuildRecord {
  /** What the client calls it. */
  readonly ref: string;
  /** `dockerfile.v0`; empty: the client ran the plan itself. */
  readonly frontend: string;
  readonly options: Readonly<Record<string, string>>;
  readonly exporters: readonly { readonly type: string; readonly attributes: Readonly<Record<string, string>> }[];
  /** ISO 8601. */
  readonly createdAt: string;
  /** Undefined: it is under way. */
  readonly completedAt?: string;
  /** gRPC's code, and what was wrong. */
  readonly error?: { readonly code: number; readonly message: string };
  /** What the client was told of what has become of the result. */
  readonly response: Readonly<Record<string, string>>;
  readonly steps: StepCounts;
  readonly documents: RecordDocuments<HistoryBlob>;
  /** It stays until somebody removes it by its name. */
  readonly isPinned: boolean;
  /** Goes up with every change. */
  readonly generation: number;
}

export interface StepCounts {
  readonly total: number;
  readonly completed: number;
  readonly cached: number;
  readonly warnings: number;
}

/** What belongs to a record and is too large to be in it. */
export interface RecordDocuments<T> {
  /** What the build said, as its client was told. */
  readonly logs?: T;
  /** When what happened (OpenTelemetry). */
  readonly trace?: T;
  /** The error with all that is known of it. */
  readonly error?: T;
  /** How the results were made, by platform; '' where there is only one. */
  readonly attestations: Readonly<Record<string, readonly T[]>>;
}

export interface HistoryBlob {
  readonly mediaType: string;
  readonly digest: Digest;
  readonly sizeBytes: number;
  readonly annotations: Readonly<Record<string, string>>;
}

export interface HistoryDocument {
  readonly mediaType: string;
  readonly bytes: Uint8Array;
  readonly annotations?: Readonly<Record<string, string>>;
}

export interface HistoryEvent {
  readonly kind: 'started' | 'complete' | 'deleted';
  readonly record: BuildRecord;
}

export function blobsOf({ logs, trace, error, attestations }: RecordDocuments<HistoryBlob>): HistoryBlob[] {
  return [logs, trace, error, ...Object.values(attestations).flat()].filter(blob => blob !== undefined);
}
