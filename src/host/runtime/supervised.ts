import { closeSync, existsSync, readFileSync, statSync } from 'node:fs';
import { isErrno } from '#base/errors.ts';
import type { ExitStatus, ProcessIo, ProcessKey, RuntimeBinary } from '#core/runtime.ts';
import { openPidfd, signalPidfd } from '#host/sys/process.ts';
import { files } from './layout.ts';
import type { OciProgram } from './oci-program.ts';

/** What the daemon must know about a container to go on with it after a restart; `state.json` in its directory. */
export interface ContainerFacts {
  readonly runtime: RuntimeBinary;
  readonly io: ProcessIo;
  /** Path below the roots of all cgroup hierarchies. */
  readonly cgroup: string;
  /** Cgroups above it that were made for this container or for another one that lives, the uppermost first. They go when they are empty. */
  readonly madeParents: readonly string[];
  /** First word of what it runs, for messages. */
  readonly command: string;
  /** Without a pid namespace of its own: processes that it started outlive its first one, and are to be ended with it. */
  readonly sharesPids: boolean;
  /** Hooks run in the runtime's own start and delete: then the program is asked for both. */
  readonly hasHooks: boolean;
  /** Its ids are not those of the host. */
  readonly hasUserNamespace: boolean;
}

/** The same for an exec. */
export interface ExecFacts {
  readonly io: ProcessIo;
}

export interface ProcessStart {
  readonly key: ProcessKey;
  readonly directory: string;
  readonly io: ProcessIo;
  readonly pid: number;
  /** The end of its monitor. */
  readonly ended: Promise<void>;
  /** Called at the end, to end what the process leaves running; `monitorKilled` when the monitor ended without an exit code. */
  readonly endRest: (monitorKilled: boolean) => Promise<void>;
  /** Whether the kernel ended a process of its cgroup for want of memory. */
  readonly sawOutOfMemory: () => boolean;
}

/** One process that a monitor watches: a container's first, or an exec. */
export class Supervised {
  readonly key: ProcessKey;
  readonly directory: string;
  readonly io: ProcessIo;
  readonly pid: number;
  readonly exit: Promise<ExitStatus>;
  /** Goes on naming the process when its pid was given to another one. Undefined once it has ended. */
  #pidfd: number | undefined;
  #hasEnded = false;

  constructor(start: ProcessStart) {
    this.key = start.key;
    this.directory = start.directory;
    this.io = start.io;
    this.pid = start.pid;
    this.#pidfd = start.pid > 0 ? openPidfd(start.pid) : undefined;
    this.exit = start.ended.then(() => this.#finish(start));
  }

  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  /** False when it has ended. */
  signal(number: number): boolean {
    return this.#pidfd !== undefined && signalPidfd(this.#pidfd, number);
  }

  async #finish(start: ProcessStart): Promise<ExitStatus> {
    let exit = readExit(this.directory, start.sawOutOfMemory);
    if (exit === undefined) {
      this.signal(9);
      await start.endRest(true);
      exit = { exitCode: 137, exitedAt: new Date(), oomKilled: start.sawOutOfMemory() };
    } else await start.endRest(false);
    this.#hasEnded = true;
    if (this.#pidfd !== undefined) closeSync(this.#pidfd);
    this.#pidfd = undefined;
    return exit;
  }
}

/** A container and the execs in it. */
export interface SupervisedContainer {
  readonly facts: ContainerFacts;
  readonly program: OciProgram;
  readonly main: Supervised;
  readonly execs: Map<string, Supervised>;
}

/** What the monitor wrote at the end; undefined while it has not. */
export function readExit(directory: string, sawOutOfMemory: () => boolean): ExitStatus | undefined {
  const path = `${directory}/${files.exit}`;
  const text = readText(path);
  if (text === undefined) return undefined;
  return { exitCode: Number(text), exitedAt: statSync(path).mtime, oomKilled: existsSync(`${directory}/${files.oom}`) || sawOutOfMemory() };
}

/** A small file's text; undefined when it is not there. */
export function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (err) {
    if (isErrno(err, 'ENOENT', 'ENOTDIR')) return undefined;
    throw err;
  }
}

/** A small file's bytes; undefined when it is not there. */
export function readBytes(path: string): Buffer | undefined {
  try {
    return readFileSync(path);
  } catch (err) {
    if (isErrno(err, 'ENOENT', 'ENOTDIR')) return undefined;
    throw err;
  }
}

/** A JSON file of ours; undefined when it is not there or was cut off by a crash. */
export function readJson(path: string): unknown {
  const text = readText(path);
  if (text === undefined) return undefined;
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
