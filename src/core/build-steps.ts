import type { IdMap, Owner } from './id-map.ts';
import type { ExitStatus } from './runtime.ts';

/** Runs the processes of builds: each like a container, but nobody can name it and nothing of it stays. */
export interface BuildStepRunner {
  /** How the ids of steps are mapped; undefined: they are those of the host. */
  readonly idMap: IdMap | undefined;
  /**
   * Runs a process to its end and takes every trace of it but what it did in its root. When the signal aborts, the process is ended and this rejects with
   * the signal's reason. Rejects with FailedPrecondition when it cannot start, with InvalidArgument for what a user namespace does not allow.
   */
  run(step: BuildStep, onOutput: OnStepOutput, signal: AbortSignal): Promise<ExitStatus>;
  /** The numbers that `user[:group]` stands for in a mounted root; a user alone means the group of the same number or the user's own. */
  owner(rootPath: string, text: string): Owner;
}

export type OnStepOutput = (stream: 'stdout' | 'stderr', chunk: Uint8Array) => void | Promise<void>;

export interface BuildStep {
  /** Like a container's id. */
  readonly id: string;
  /** The mounted root; with mapped ids it shows owners as the host knows them. */
  readonly rootPath: string;
  /** Default: false. */
  readonly isRootReadOnly?: boolean;
  readonly args: readonly string[];
  readonly env: readonly string[];
  readonly cwd: string;
  readonly user: string;
  readonly hostname: string;
  /** `default`, `none`, `host`, `container:ID`, or the name of a network. */
  readonly network: string;
  /** With all capabilities and devices. */
  readonly insecure: boolean;
  readonly mounts: readonly BuildStepMount[];
  readonly limits: BuildStepLimits;
}

export type BuildStepMount =
  /** With mapped ids, owners in the source are those of the host, and root of the step can pass through to it. */
  | { readonly type: 'bind'; readonly source: string; readonly target: string; readonly readOnly: boolean }
  | { readonly type: 'tmpfs'; readonly target: string; readonly sizeBytes: number };

/** 0 and empty texts: no limit of its own. */
export interface BuildStepLimits {
  readonly memoryBytes: number;
  readonly memorySwapBytes: number;
  readonly cpuShares: number;
  readonly cpuPeriod: number;
  readonly cpuQuota: number;
  readonly cpusetCpus: string;
  readonly cpusetMems: string;
  readonly cgroupParent: string;
  readonly shmSizeBytes: number;
  readonly ulimits: readonly { readonly name: string; readonly soft: number; readonly hard: number }[];
  readonly extraHosts: readonly string[];
}
