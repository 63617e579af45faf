import type { EndpointConfig, SandboxNamespace } from '#core/network.ts';
import type { LogBatch } from '#core/logs.ts';
import type { FileChange, PathStat } from '#core/files.ts';
import type { SnapshotPaths } from '#core/snapshots.ts';
import type { UsageOptions, UsageReport } from './usage-types.ts';
import type { Attachment, AttachOptions } from './attach-types.ts';
import type { Container, ContainerChanges, ContainerConfig, HostConfig } from './model.ts';

/**
 * Containers, from create to remove. A `ref` is a full id, a name or a unique prefix of an id; one that names nothing rejects with NotFound
 * `No such container: x`.
 */
export interface ContainerService {
  /** Rejects with NotFound only for a missing image, which tells a client to pull it. */
  create(request: CreateRequest, signal: AbortSignal): Promise<CreateResult>;
  /** Rejects with NotModified when it runs already; with FailedPrecondition when the entrypoint cannot run (exit codes 126 and 127). */
  start(ref: string, signal: AbortSignal, from?: CheckpointPlace): Promise<void>;
  /** Rejects with NotModified when it does not run. Timeout -1: never force; undefined: the container's, else 10 s. */
  stop(ref: string, options: StopOptions, signal: AbortSignal): Promise<void>;
  restart(ref: string, options: StopOptions, signal: AbortSignal): Promise<void>;
  /** `SIGTERM`, `term`, `15`, …; undefined: SIGKILL. Returns when sent; after SIGKILL when it has ended. Rejects with Conflict when it does not run. */
  kill(ref: string, signalName: string | undefined): Promise<void>;
  pause(ref: string): Promise<void>;
  unpause(ref: string): Promise<void>;
  rename(ref: string, name: string): void;
  /** Of a container that runs also in the kernel, all or nothing. Returns warnings. Rejects with Conflict where the change contradicts what it has. */
  update(ref: string, changes: ContainerChanges): Promise<readonly string[]>;
  remove(ref: string, options: RemoveOptions): Promise<void>;
  /** Registered when it returns: answer the client's headers then. The promise is inside an object so that `await` does not wait for it. */
  wait(ref: string, condition: string, signal: AbortSignal): { readonly ended: Promise<WaitResult> };
  /** Rejects with Conflict while another prune runs. */
  prune(filters: Filters): Promise<PruneResult>;

  list(options: ListOptions): Promise<ContainerSummary[]>;
  inspect(ref: string, options?: { readonly size?: boolean }): Promise<ContainerDetails>;
  /** The record behind a reference, for other nouns. */
  get(ref: string): Container;
  /** Columns as `ps` prints them for these arguments (default `-ef`). */
  top(ref: string, psArgs: string): Promise<{ readonly titles: string[]; readonly processes: string[][] }>;
  /** Checked when it returns. A stream goes on, also while the container does not run, until it is removed. */
  usage(ref: string, options: UsageOptions, signal: AbortSignal): AsyncGenerator<UsageReport, void>;
  /** What a container may use that has no limit of its own. */
  readonly hostMemoryBytes: number;
  logs(ref: string, options: LogOptions, signal: AbortSignal): { readonly tty: boolean; readonly batches: AsyncIterable<LogBatch> };
  /** Key-value pairs that `details=1` shows before each line. */
  logDetails(ref: string): Readonly<Record<string, string>>;

  /** What a path in the container is, a link in its last place not followed. Rejects with NotFound. */
  statPath(ref: string, path: string, signal: AbortSignal): Promise<PathStat>;
  /** A file or directory as a tar, from what the container sees. Its process is there until the tar has been read or left. */
  readArchive(ref: string, path: string, signal: AbortSignal): Promise<FilesArchive>;
  /** Puts what is in a tar, compressed or not, into a directory that is there. What was put before a failure stays. */
  putArchive(ref: string, path: string, options: PutArchiveOptions, tar: AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<void>;
  /** What differs from the image, by path. */
  changes(ref: string, signal: AbortSignal): Promise<FileChange[]>;
  /** The root file system without what is mounted in it, as a tar. */
  export(ref: string, signal: AbortSignal): Promise<AsyncIterable<Uint8Array>>;
  /** Makes an image of the container; returns its id. */
  commit(ref: string, request: CommitRequest, signal: AbortSignal): Promise<string>;

  /** Rejects with AlreadyExists, Conflict when it does not run, FailedPrecondition when this machine cannot. */
  createCheckpoint(ref: string, request: CheckpointRequest, signal: AbortSignal): Promise<void>;
  /** Names. An empty directory means the container's own. */
  listCheckpoints(ref: string, directory: string): string[];
  removeCheckpoint(ref: string, name: string, directory: string): void;

  attach(ref: string, options: AttachOptions): Promise<Attachment>;
  resize(ref: string, size: TerminalSize): Promise<void>;

  /** Returns the exec's id. */
  createExec(ref: string, config: ExecConfig): string;
  /** Starts it without connecting to it. */
  startExecDetached(execId: string, signal: AbortSignal): Promise<void>;
  /** Checks that it can start; `run` of what this returns starts it. A failed start is told to the client as output; the exit code is kept. */
  startExec(execId: string, options: ExecStartOptions): Attachment;
  resizeExec(execId: string, size: TerminalSize): Promise<void>;
  inspectExec(execId: string): ExecDetails;

  connectNetwork(ref: string, network: string, endpoint: EndpointConfig, signal: AbortSignal): Promise<void>;
  /** `force` also forgets a container that is gone. */
  disconnectNetwork(ref: string, network: string, options: { readonly force: boolean }): Promise<void>;

  /** A start may be coming: waits of the kernel that need nothing of it can begin. Costs next to nothing and cannot fail. */
  expectStart(): void;
  /** How many there are, for `info`. */
  counts(): { readonly total: number; readonly running: number; readonly paused: number; readonly stopped: number };
  /** The network namespace of a running container. Rejects with NotFound, Conflict. */
  networkNamespaceOf(ref: string): SandboxNamespace;
  /** Who uses an image, for its removal. */
  usersOfImage(imageId: string): { readonly id: string; readonly running: boolean }[];
  /**
   * Makes reality and records agree after a daemon start, and resumes restart policies. Returns what it repaired, in words. Call once, before serving.
   */
  recover(signal: AbortSignal): Promise<string[]>;
  /** Stops timers and lets go of streams; containers run on. */
  close(): Promise<void>;
}

export interface CreateRequest {
  /** With or without the leading slash; undefined: a random one. */
  readonly name: string | undefined;
  /** `os/arch[/variant]` when the user asked for one. */
  readonly platform: string | undefined;
  readonly config: ContainerConfig;
  readonly hostConfig: HostConfig;
  /** By network name or id. */
  readonly endpoints: Readonly<Record<string, EndpointConfig>>;
}

export interface CreateResult {
  readonly id: string;
  readonly warnings: readonly string[];
}

export interface StopOptions {
  readonly signal: string | undefined;
  readonly timeoutSeconds: number | undefined;
}

export interface RemoveOptions {
  readonly force: boolean;
  /** Anonymous volumes too. */
  readonly volumes: boolean;
  /** The reference is a link `/parent/alias`: remove only that. */
  readonly link: boolean;
}

export interface WaitResult {
  readonly exitCode: number;
  readonly error?: string;
}

/** As the Engine API takes them: key → accepted values. */
export type Filters = ReadonlyMap<string, readonly string[]>;

export interface ListOptions {
  readonly all: boolean;
  /** 0 or less: no limit. More than 0 includes stopped ones. */
  readonly limit: number;
  /** `on-disk`: what they take there, not what their files hold. */
  readonly size: boolean | 'on-disk';
  readonly filters: Filters;
}

export interface ContainerSummary {
  readonly container: Container;
  /** The reference the user wrote while it still means the same image, else the image's id. */
  readonly image: string;
  /** Path and arguments joined, quoted where needed. */
  readonly command: string;
  /** `Up 3 seconds`, `Exited (0) 2 hours ago`, … */
  readonly statusText: string;
  readonly sizeRwBytes?: number;
  readonly sizeRootFsBytes?: number;
}

export interface ContainerDetails {
  readonly container: Container;
  /** Empty texts where there is no such file. */
  readonly resolvConfPath: string;
  readonly hostnamePath: string;
  readonly hostsPath: string;
  readonly logPath: string;
  readonly sandboxKey: string;
  readonly appArmorProfile: string;
  readonly driver: string;
  readonly snapshot: SnapshotPaths;
  /** Of running ones only. */
  readonly execIds: readonly string[];
  readonly sizeRwBytes?: number;
  readonly sizeRootFsBytes?: number;
}

export interface PruneResult {
  readonly ids: readonly string[];
  readonly reclaimedBytes: number;
}

export interface LogOptions {
  readonly follow: boolean;
  readonly stdout: boolean;
  readonly stderr: boolean;
  readonly sinceNano: bigint | undefined;
  readonly untilNano: bigint | undefined;
  /** Undefined: all. */
  readonly tail: number | undefined;
}

/** A tar and, for a client that wants to know before it begins, what it is of. */
export interface FilesArchive {
  readonly stat: PathStat;
  readonly tar: AsyncIterable<Uint8Array>;
}

export interface PutArchiveOptions {
  readonly noOverwriteDirNonDir: boolean;
  /** Gives everything to the container's own user. */
  readonly copyUidGid: boolean;
}

export interface CommitRequest {
  readonly repo: string;
  readonly tag: string;
  readonly author: string;
  readonly comment: string;
  /** Instructions of a Dockerfile. */
  readonly changes: readonly string[];
  /** Holds the container still while its files are read. */
  readonly pause: boolean;
  /** What the image shall have instead of the container's configuration. */
  readonly config: ContainerConfig | undefined;
}

export interface TerminalSize {
  readonly height: number;
  readonly width: number;
}

export interface ExecConfig {
  readonly cmd: readonly string[];
  readonly env: readonly string[];
  /** Empty: the container's. */
  readonly workingDir: string;
  readonly user: string;
  readonly privileged: boolean;
  readonly tty: boolean;
  readonly attachStdin: boolean;
  readonly attachStdout: boolean;
  readonly attachStderr: boolean;
  readonly detachKeys: string;
  readonly consoleSize: TerminalSize | undefined;
}

export interface ExecStartOptions {
  readonly detachKeys: string;
  readonly consoleSize: TerminalSize | undefined;
}

export interface ExecDetails {
  readonly id: string;
  readonly containerId: string;
  readonly config: ExecConfig;
  readonly running: boolean;
  /** Undefined until it has ended. */
  readonly exitCode: number | undefined;
  /** 0 until it runs. */
  readonly pid: number;
}

/** Which checkpoint; an empty directory means the container's own. */
export interface CheckpointPlace {
  readonly name: string;
  readonly directory: string;
}

export interface CheckpointRequest extends CheckpointPlace {
  readonly leavesRunning: boolean;
}
