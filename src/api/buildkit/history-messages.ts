import type { Attributes, Status, Timestamp, TypeAndAttributes } from './messages.ts';

/** What is asked about the builds that there were and are. */
export interface HistoryRequest {
  readonly ActiveOnly: boolean;
  readonly Ref: string;
  readonly EarlyExit: boolean;
  readonly Filter: readonly string[];
  readonly Limit: number;
}

export interface UpdateHistoryRequest {
  readonly Ref: string;
  readonly Pinned: boolean;
  readonly Delete: boolean;
  readonly Finalize: boolean;
}

export interface WireBlob {
  readonly media_type: string;
  readonly digest: string;
  readonly size: number;
  readonly annotations: Attributes;
}

export interface WireResult {
  readonly Attestations: readonly WireBlob[];
}

export interface WireRecord {
  readonly Ref: string;
  readonly Frontend: string;
  readonly FrontendAttrs: Attributes;
  readonly Exporters: readonly TypeAndAttributes[];
  readonly error?: Status;
  readonly CreatedAt: Timestamp;
  readonly CompletedAt?: Timestamp;
  readonly logs?: WireBlob;
  readonly ExporterResponse: Attributes;
  readonly Result?: WireResult;
  readonly Results: Readonly<Record<string, WireResult>>;
  readonly Generation: number;
  readonly trace?: WireBlob;
  readonly pinned: boolean;
  readonly numCachedSteps: number;
  readonly numTotalSteps: number;
  readonly numCompletedSteps: number;
  readonly externalError?: WireBlob;
  readonly numWarnings: number;
}
