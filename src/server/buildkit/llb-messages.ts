/** The messages of a graph (pb.Op and what is in it), as they are read: every field is there. */
export interface WireOp {
  readonly inputs: readonly { readonly digest: string; readonly index: number }[];
  readonly exec: WireExec | null;
  readonly source: { readonly identifier: string; readonly attrs: Readonly<Record<string, string>> } | null;
  readonly file: { readonly actions: readonly WireAction[] } | null;
  readonly build: object | null;
  readonly merge: { readonly inputs: readonly { readonly input: number }[] } | null;
  readonly diff: { readonly lower: { readonly input: number } | null; readonly upper: { readonly input: number } | null } | null;
  readonly platform: { readonly Architecture: string; readonly OS: string; readonly Variant: string } | null;
}

export interface WireOpMetadata {
  readonly ignore_cache: boolean;
  readonly description: Readonly<Record<string, string>>;
  readonly linux_resources: {
    readonly memory: number;
    readonly memorySwap: number;
    readonly cpuShares: number;
    readonly cpuPeriod: number;
    readonly cpuQuota: number;
    readonly cpusetCpus: string;
    readonly cpusetMems: string;
  } | null;
}

export interface WireExec {
  readonly meta: WireMeta | null;
  readonly mounts: readonly WireMount[];
  readonly network: number;
  readonly security: number;
  readonly secretenv: readonly { readonly ID: string; readonly name: string; readonly optional: boolean }[];
  readonly cdiDevices: readonly { readonly name: string; readonly optional: boolean }[];
}

export interface WireMeta {
  readonly args: readonly string[];
  readonly env: readonly string[];
  readonly cwd: string;
  readonly user: string;
  readonly proxy_env: Readonly<Record<string, string>> | null;
  readonly extraHosts: readonly { readonly Host: string; readonly IP: string }[];
  readonly hostname: string;
  readonly ulimit: readonly { readonly Name: string; readonly Soft: number; readonly Hard: number }[];
  readonly cgroupParent: string;
  readonly validExitCodes: readonly number[];
}

export interface WireMount {
  readonly input: number;
  readonly selector: string;
  readonly dest: string;
  readonly output: number;
  readonly readonly: boolean;
  readonly mountType: number;
  readonly TmpfsOpt: { readonly size: number } | null;
  readonly cacheOpt: { readonly ID: string; readonly sharing: number } | null;
  readonly secretOpt: WireLent | null;
  readonly SSHOpt: WireLent | null;
  /** A result of the client's, where a mount is not one of a graph. */
  readonly resultID: string;
}

export interface WireLent {
  readonly ID: string;
  readonly uid: number;
  readonly gid: number;
  readonly mode: number;
  readonly optional: boolean;
}

export interface WireAction {
  readonly input: number;
  readonly secondaryInput: number;
  readonly output: number;
  readonly copy: WireCopy | null;
  readonly mkfile: {
    readonly path: string;
    readonly mode: number;
    readonly data: Uint8Array;
    readonly owner: WireOwner | null;
    readonly timestamp: number;
  } | null;
  readonly mkdir: {
    readonly path: string;
    readonly mode: number;
    readonly makeParents: boolean;
    readonly owner: WireOwner | null;
    readonly timestamp: number;
  } | null;
  readonly rm: { readonly path: string; readonly allowNotFound: boolean; readonly allowWildcard: boolean } | null;
  readonly symlink: {
    readonly oldpath: string;
    readonly newpath: string;
    readonly owner: WireOwner | null;
    readonly timestamp: number;
  } | null;
}

export interface WireCopy {
  readonly src: string;
  readonly dest: string;
  readonly owner: WireOwner | null;
  readonly mode: number;
  readonly followSymlink: boolean;
  readonly dirCopyContents: boolean;
  readonly attemptUnpackDockerCompatibility: boolean;
  readonly createDestPath: boolean;
  readonly allowWildcard: boolean;
  readonly allowEmptyWildcard: boolean;
  readonly timestamp: number;
  readonly include_patterns: readonly string[];
  readonly exclude_patterns: readonly string[];
  readonly modeStr: string;
}

export interface WireOwner {
  readonly user: WireUser | null;
  readonly group: WireUser | null;
}

export interface WireUser {
  readonly byName: { readonly name: string; readonly input: number } | null;
  readonly byID: number;
}
