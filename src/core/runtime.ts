import type { ResourceUsage } from './usage.ts';
import type { ProcessSpec, ResourcesSpec, RuntimeSpec } from '#oci/runtime-spec.ts';

/** An OCI runtime as the operator configured it (`--add-runtime`, daemon.json `runtimes`). */
export interface RuntimeBinary {
  readonly name: string;
  /** Absolute, or a name to look up in PATH. */
  readonly path: string;
  readonly args: readonly string[];
}

export interface ProcessIo {
  readonly tty: boolean;
  /** Whether stdin is open at all. */
  readonly stdin: boolean;
  /** Stdin stays open when an attached client goes (OpenStdin without StdinOnce). */
  readonly keepStdinOpen: boolean;
}

export interface CreateContainer {
  readonly id: string;
  /** May still be in the making: meanwhile the monitor gets ready. A function is called when that has begun. When it rejects, `create` rejects with its reason. */
  readonly spec: RuntimeSpec | Promise<RuntimeSpec> | (() => Promise<RuntimeSpec>);
  readonly runtime: RuntimeBinary;
  /** Its ids are not those of the host. */
  readonly hasUserNamespace?: boolean;
  readonly io: ProcessIo;
  /** A checkpoint that `checkpoint` wrote: the processes go on from there, at once; `start` is not needed then. */
  readonly restoreFrom?: string;
  /** Where the monitor writes the output; undefined: nowhere (log driver `none`). */
  readonly logPath: string | undefined;
  /** The monitor begins the log anew, as `reopenLog` does, when it would become larger. */
  readonly logMaxBytes?: number;
  /** Its processes end when this daemon does, however it ends: nobody would go on with what they do. */
  readonly endsWithDaemon?: boolean;
}

export interface ExecProcess {
  readonly containerId: string;
  readonly execId: string;
  readonly process: ProcessSpec;
  readonly runtime: RuntimeBinary;
  readonly io: ProcessIo;
  /** Called when the process exists but its output is not flowing yet: the moment to attach so that nothing is missed. */
  readonly beforeOutput?: (streams: ProcessStreams) => void;
}

export interface ExitStatus {
  /** 0–255; 128+n when a signal ended it. */
  readonly exitCode: number;
  readonly exitedAt: Date;
  readonly oomKilled: boolean;
}

/** What a process key names: a container's first process or one exec in it. */
export interface ProcessKey {
  readonly containerId: string;
  readonly execId?: string;
}

/**
 * Runs containers through an OCI runtime and a monitor process per container that outlives the daemon. All state needed after a daemon restart
 * is on disk under the runtime's own directory; `recover` reads it.
 *
 * Order for one container: create → attach (optional) → start → (exec)* → exit → remove. `remove` may come at any point.
 */
export interface ContainerRuntime {
  /**
   * A container or an exec is about to be started, in the time given in milliseconds: what takes the kernel long begins now. Costs next to nothing when
   * none comes.
   */
  expectStart(withinMs: number): void;
  /**
   * Makes the container up to, not including, its entrypoint. Rejects with FailedPrecondition carrying the runtime's own words
   * (`runc create failed: … executable file not found in $PATH`), having removed everything it made.
   */
  create(options: CreateContainer, signal: AbortSignal): Promise<{ readonly pid: number }>;
  /** Runs the entrypoint. Rejects like `create`. */
  start(id: string, signal: AbortSignal): Promise<void>;
  /** Connects to the output and input of a process that was created. Several connections may exist; each gets all output from then on. */
  attach(key: ProcessKey): Promise<ProcessStreams>;
  /** Starts another process inside and resolves when it runs. Rejects like `create`. */
  exec(options: ExecProcess, signal: AbortSignal): Promise<{ readonly pid: number }>;
  /**
   * Sends a signal to the first process; with `all` to every process of the container; with `execId` to that exec, with `all` as well to what it
   * started too. A process that is gone rejects with NotFound.
   */
  kill(id: string, signal: number, options?: { readonly all?: boolean; readonly execId?: string }): Promise<void>;
  /** Has the monitor begin the container's log anew: an empty file takes the place of the one it wrote to. A container that has ended is fine. */
  reopenLog(id: string): void;
  resize(key: ProcessKey, size: { readonly height: number; readonly width: number }): Promise<void>;
  /** Resolves when the process has ended and all its output was written; at once when it has ended before. Rejects with NotFound for an unknown one. */
  wait(key: ProcessKey): Promise<ExitStatus>;
  /** Calls the listener each time the kernel ends a process of a container that was started for want of memory, until the container has ended. */
  onOutOfMemory(id: string, listener: () => void): void;
  /** What it uses. Rejects with NotFound when it has gone. */
  usage(id: string): Promise<ResourceUsage>;
  /** Host pids of every process in the container. */
  pids(id: string): Promise<number[]>;
  pause(id: string): Promise<void>;
  unpause(id: string): Promise<void>;
  /**
   * Changes limits of a container that was created; those left out stay. When it rejects (FailedPrecondition, with the runtime's own words) all limits
   * are as before, also when an earlier daemon ended in the middle of the same change.
   */
  update(id: string, resources: ResourcesSpec): Promise<void>;
  /**
   * Writes what the processes of a container are into an empty directory, from which `create` can make them go on. Unless they are left running they end.
   * Rejects with FailedPrecondition saying what is missing, or what they have that cannot be saved.
   */
  checkpoint(id: string, options: { readonly imagePath: string; readonly leavesRunning: boolean }, signal: AbortSignal): Promise<void>;
  /** Ends whatever still runs and removes every trace: runtime state, cgroup, monitor, bundle, exit files. Nothing there is fine. */
  remove(id: string): Promise<void>;
  /** Forgets a finished exec's files. */
  removeExec(key: ProcessKey): Promise<void>;
  /** What this runtime's directory still knows, after a daemon restart: running or ended processes. Ids not in `known` are removed. */
  recover(known: ReadonlySet<string>): Promise<RecoveredContainer[]>;
}

export interface RecoveredContainer {
  readonly id: string;
  readonly state:
    | { readonly status: 'running'; readonly pid: number; readonly paused: boolean }
    | { readonly status: 'created'; readonly pid: number }
    | { readonly status: 'exited'; readonly exit: ExitStatus };
  /** Execs found beside it, running or ended since. */
  readonly execs: readonly { readonly execId: string; readonly exit: ExitStatus | undefined }[];
}

/** One connection to a process. `closed` resolves after the last output was delivered. */
export interface ProcessStreams extends Disposable {
  /**
   * Delivers output. A listener that returns a promise holds further reading until it resolves: that is how back-pressure reaches the process.
   * Chunks of one stream arrive in order; a terminal delivers everything as `stdout`.
   */
  onOutput(listener: (stream: 'stdout' | 'stderr', chunk: Uint8Array) => void | Promise<void>): void;
  /** Resolves when the process has taken the bytes. */
  writeStdin(chunk: Uint8Array): Promise<void>;
  /** End of file on stdin; output goes on. */
  closeStdin(): Promise<void>;
  readonly closed: Promise<void>;
}
