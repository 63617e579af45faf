/**
 * BuildKit's messages as this daemon reads and writes them, by the names of the `.proto` files beside. What is read has every field; of what is
 * written, fields may be left out. 64-bit numbers are numbers, except times of files.
 */

export interface Timestamp {
  readonly seconds: number;
  readonly nanos: number;
}

export interface Status {
  readonly code: number;
  readonly message: string;
  readonly details: readonly Any[];
}

export interface Any {
  readonly type_url: string;
  readonly value: Uint8Array;
}

export type Attributes = Readonly<Record<string, string>>;

export interface WirePlatform {
  readonly OS: string;
  readonly Architecture: string;
  readonly Variant?: string;
}

export interface Definition {
  readonly def: readonly Uint8Array[];
  readonly metadata?: Readonly<Record<string, object>>;
}

export interface TypeAndAttributes {
  readonly Type: string;
  readonly Attrs: Attributes;
}

export interface ControlSolveRequest {
  readonly Ref: string;
  readonly Definition: Definition | null;
  readonly ExporterDeprecated: string;
  readonly ExporterAttrsDeprecated: Attributes;
  readonly Session: string;
  readonly Frontend: string;
  readonly FrontendAttrs: Attributes;
  readonly Cache: { readonly Exports: readonly TypeAndAttributes[]; readonly Imports: readonly TypeAndAttributes[] } | null;
  readonly Entitlements: readonly string[];
  readonly FrontendInputs: Readonly<Record<string, Definition>>;
  readonly Internal: boolean;
  readonly Exporters: readonly TypeAndAttributes[];
}

export interface GatewaySolveRequest {
  readonly Definition: Definition | null;
  readonly Frontend: string;
  readonly FrontendOpt: Attributes;
  readonly CacheImports: readonly TypeAndAttributes[];
  readonly FrontendInputs: Readonly<Record<string, Definition>>;
}

export interface Result {
  readonly ref?: { readonly id: string; readonly def?: Definition };
  readonly refs?: { readonly refs: Readonly<Record<string, { readonly id: string; readonly def?: Definition }>> };
  readonly refDeprecated?: string;
  readonly refsDeprecated?: { readonly refs: Readonly<Record<string, string>> };
  readonly metadata: Readonly<Record<string, Uint8Array>>;
}

export interface ReturnRequest {
  readonly result: Result | null;
  readonly error: Status | null;
}

export interface Vertex {
  readonly digest: string;
  readonly inputs?: readonly string[];
  readonly name: string;
  readonly cached?: boolean;
  readonly started?: Timestamp;
  readonly completed?: Timestamp;
  readonly error?: string;
}

export interface VertexStatus {
  readonly ID: string;
  readonly vertex: string;
  readonly name?: string;
  readonly current?: number;
  readonly total?: number;
  readonly timestamp: Timestamp;
  readonly started?: Timestamp;
  readonly completed?: Timestamp;
}

export interface VertexLog {
  readonly vertex: string;
  readonly timestamp: Timestamp;
  readonly stream: number;
  readonly msg: Uint8Array;
}

export interface SourceInfo {
  readonly filename: string;
  readonly data: Uint8Array;
  readonly language?: string;
}

export interface SourceRange {
  readonly start: { readonly line: number; readonly character: number };
  readonly end: { readonly line: number; readonly character: number };
}

export interface VertexWarning {
  readonly vertex: string;
  readonly level?: number;
  readonly short: Uint8Array;
  readonly detail?: readonly Uint8Array[];
  readonly url?: string;
  readonly info?: SourceInfo;
  readonly ranges?: readonly SourceRange[];
}

export interface StatusUpdate {
  readonly vertexes?: readonly Vertex[];
  readonly statuses?: readonly VertexStatus[];
  readonly logs?: readonly VertexLog[];
  readonly warnings?: readonly VertexWarning[];
}

export interface UsageRecord {
  readonly ID: string;
  readonly Mutable: boolean;
  readonly InUse: boolean;
  readonly Size: number;
  readonly CreatedAt: Timestamp;
  readonly LastUsedAt?: Timestamp;
  readonly UsageCount: number;
  readonly Description: string;
  readonly RecordType: string;
  readonly Shared: boolean;
  readonly Parents: readonly string[];
}

export interface PruneRequest {
  readonly filter: readonly string[];
  readonly all: boolean;
  readonly keepDuration: number;
  readonly reservedSpace: number;
  readonly maxUsedSpace: number;
  readonly minFreeSpace: number;
}

/** A file on its way. `modTime` is nanoseconds since 1970, in decimal digits. */
export interface Stat {
  readonly path: string;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  readonly modTime: string;
  readonly linkname: string;
  readonly devmajor: number;
  readonly devminor: number;
  readonly xattrs: Readonly<Record<string, Uint8Array>>;
}

/** What a packet of a directory's transfer is. */
export const packetType = { stat: 0, request: 1, data: 2, end: 3, error: 4 } as const;

export interface Packet {
  readonly type: number;
  readonly stat: Stat | null;
  readonly ID: number;
  readonly data: Uint8Array;
}
