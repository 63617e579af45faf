import type { Platform } from '#oci/platform.ts';

/** A graph of work as clients send it (LLB): each node makes one or more trees of files out of those of others. */
export interface Graph {
  /** Undefined: no files at all. */
  readonly root: Edge | undefined;
  /** By digest. */
  readonly nodes: ReadonlyMap<string, GraphNode>;
}

/** One of the trees that a node makes. */
export interface Edge {
  readonly digest: string;
  readonly index: number;
}

export interface GraphNode {
  readonly digest: string;
  readonly inputs: readonly Edge[];
  readonly work: GraphWork;
  readonly platform: Platform | undefined;
  /** What the client calls it; else what it does. */
  readonly name: string;
  readonly ignoresCache: boolean;
}

export type GraphWork = SourceWork | ExecWork | FileWork | MergeWork | DiffWork;

export interface SourceWork {
  readonly kind: 'source';
  /** `docker-image://…`, `local://…`, `git://…`, `https://…`, `oci-layout://…`. */
  readonly identifier: string;
  readonly attributes: Readonly<Record<string, string>>;
}

/** Where an input is among a node's inputs; undefined: nothing is there. */
export type InputIndex = number | undefined;

export interface ExecWork {
  readonly kind: 'exec';
  readonly args: readonly string[];
  readonly env: readonly string[];
  readonly cwd: string;
  readonly user: string;
  readonly hostname: string;
  readonly network: 'default' | 'none' | 'host';
  readonly security: 'sandbox' | 'insecure';
  readonly mounts: readonly ExecMount[];
  readonly secretEnv: readonly { readonly id: string; readonly name: string; readonly required: boolean }[];
  /** `name:address`. */
  readonly extraHosts: readonly string[];
  readonly ulimits: readonly { readonly name: string; readonly soft: number; readonly hard: number }[];
  readonly cgroupParent: string;
  /** By the name of the variable. */
  readonly proxies: ReadonlyMap<string, string>;
  /** What the process may end with. */
  readonly exitCodes: readonly number[];
  readonly limits: ExecLimits;
}

export interface ExecLimits {
  readonly memoryBytes: number;
  readonly memorySwapBytes: number;
  readonly cpuShares: number;
  readonly cpuPeriod: number;
  readonly cpuQuota: number;
  readonly cpusetCpus: string;
  readonly cpusetMems: string;
}

export type ExecMount = { readonly target: string } & (
  | {
      readonly type: 'bind';
      readonly input: InputIndex;
      /** A path in the input. */
      readonly source: string;
      readonly readOnly: boolean;
      /** Which of the node's trees it becomes; undefined: what is written is thrown away. */
      readonly output: number | undefined;
    }
  | {
      readonly type: 'cache';
      readonly input: InputIndex;
      readonly source: string;
      readonly readOnly: boolean;
      readonly id: string;
      readonly sharing: 'shared' | 'private' | 'locked';
    }
  | { readonly type: 'tmpfs'; readonly sizeBytes: number }
  | ({ readonly type: 'secret' | 'ssh' } & LentFile)
);

/** Something of the client's, as a file. */
export interface LentFile {
  readonly id: string;
  readonly uid: number;
  readonly gid: number;
  readonly mode: number;
  readonly required: boolean;
}

export interface FileWork {
  readonly kind: 'file';
  readonly actions: readonly FileAction[];
}

/** What an action stands on: an input of its node, an action before it, or nothing. */
export type ActionInput = { readonly from: 'input' | 'action'; readonly index: number } | undefined;

export type FileAction = {
  readonly input: ActionInput;
  /** Which of the node's trees it becomes; undefined: it is for other actions. */
  readonly output: number | undefined;
} & (CopyAction | ChangeAction);

export interface CopyAction {
  readonly kind: 'copy';
  readonly from: ActionInput;
  readonly source: string;
  readonly destination: string;
  readonly owner: FileOwner | undefined;
  /** As chmod takes it; undefined: as it is. */
  readonly mode: string | undefined;
  /** Of a directory its contents are copied, not itself. */
  readonly contentsOnly: boolean;
  readonly unpack: boolean;
  readonly makesParents: boolean;
  readonly hasWildcard: boolean;
  readonly allowsNothing: boolean;
  readonly includes: readonly string[];
  readonly excludes: readonly string[];
  /** Nanoseconds since 1970. */
  readonly timeNs: bigint | undefined;
}

/** Something that is made or removed. */
export type ChangeAction =
  | {
      readonly kind: 'file';
      readonly path: string;
      readonly mode: number;
      readonly content: Uint8Array;
      readonly owner: FileOwner | undefined;
      readonly timeNs: bigint | undefined;
    }
  | {
      readonly kind: 'directory';
      readonly path: string;
      readonly mode: number;
      readonly withParents: boolean;
      readonly owner: FileOwner | undefined;
      readonly timeNs: bigint | undefined;
    }
  | {
      readonly kind: 'symlink';
      readonly path: string;
      readonly target: string;
      readonly owner: FileOwner | undefined;
      readonly timeNs: bigint | undefined;
    }
  | { readonly kind: 'remove'; readonly path: string; readonly allowsMissing: boolean; readonly hasWildcard: boolean };

/** Numbers or names; names mean what the accounts in a tree say. */
export interface FileOwner {
  readonly user: string;
  readonly group: string | undefined;
  /** Where the names are looked up; undefined: where the file goes. */
  readonly accounts: ActionInput;
}

export interface MergeWork {
  readonly kind: 'merge';
  readonly inputs: readonly InputIndex[];
}

export interface DiffWork {
  readonly kind: 'diff';
  readonly lower: InputIndex;
  readonly upper: InputIndex;
}
