import { accessSync, closeSync, constants, openSync, readSync, rmSync, statSync, writeSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { isErrno, unavailable } from '#base/errors.ts';
import type { RuntimeBinary } from '#core/runtime.ts';
import { sealedCopy } from '#host/sys/sealed-file.ts';

/** What kind of program a runtime is decides which of its steps are done here instead of by starting it once more. */
export type RuntimeKind = 'crun' | 'runc' | 'other';

export interface OciProgram {
  readonly name: string;
  readonly path: string;
  readonly kind: RuntimeKind;
  /** What it says when asked for its version. */
  readonly version: string;
  /** What to execute: the path, or where the program's copy in memory is. */
  executable(): string;
  /** Global arguments: the operator's, then the state root and the log. */
  args(root: string, logFile: string): string[];
}

const found = new Map<string, OciProgram>();

/** Finds the program. Rejects with Unavailable naming the package when it is not installed. */
export async function findProgram(binary: RuntimeBinary): Promise<OciProgram> {
  const key = JSON.stringify(binary);
  const known = found.get(key);
  if (known !== undefined) return known;
  const path = findExecutable(binary.path);
  if (path === undefined) throw missing(binary.path, `OCI runtime ${binary.name}`);
  const version = await versionOf(path);
  const kind = binary.args.length > 0 ? 'other' : kindOf(version);
  const copy = kind === 'crun' ? new SealedProgram(path) : undefined;
  const program: OciProgram = {
    name: binary.name,
    path,
    kind,
    version,
    executable: () => copy?.path() ?? path,
    args: (root, logFile) => [...binary.args, '--root', root, '--log', logFile, '--log-format', 'json'],
  };
  found.set(key, program);
  return program;
}

/**
 * crun lets no container near its own executable: each time it starts it copies itself into a sealed file in memory and starts that, unless it has been
 * started from one. Made once here, the copy saves every create and exec those 2 ms.
 */
class SealedProgram {
  readonly #original: string;
  #copy: { readonly fd: number; readonly of: string } | undefined;

  constructor(original: string) {
    this.#original = original;
  }

  /** Undefined where the kernel has no such files. An upgraded program is copied anew. */
  path(): string | undefined {
    try {
      const { ino, dev, size, mtimeMs } = statSync(this.#original);
      const of = [dev, ino, size, mtimeMs].join();
      if (this.#copy?.of !== of) {
        const fd = sealedCopy(this.#original);
        if (this.#copy !== undefined) closeSync(this.#copy.fd);
        this.#copy = { fd, of };
      }
      return `/proc/${String(process.pid)}/fd/${String(this.#copy.fd)}`;
    } catch {
      return undefined;
    }
  }
}

export function findExecutable(name: string): string | undefined {
  const candidates = name.includes('/')
    ? [name]
    : (process.env.PATH ?? '/usr/sbin:/usr/bin:/sbin:/bin').split(':').map(directory => `${directory}/${name}`);
  return candidates.find(isExecutable);
}

export function missing(path: string, what: string): Error {
  const name = path.split('/').at(-1) ?? path;
  const advice = path.includes('/')
    ? 'check the path in the daemon configuration'
    : `install the package ${name} (apt-get install ${name})`;
  return unavailable(`${what} is not installed: no executable ${path} was found; ${advice}`);
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

async function versionOf(path: string): Promise<string> {
  return await Bun.spawn([path, '--version'], { stdio: ['ignore', 'pipe', 'ignore'] }).stdout.text();
}

const kindOf = (version: string): RuntimeKind =>
  version.startsWith('crun version') ? 'crun' : version.startsWith('runc version') ? 'runc' : 'other';

/**
 * Lets a created container run its entrypoint as `crun start` and `runc start` do: its init waits on `exec.fifo`, crun's to read a byte, runc's
 * to write one. False when there is no such fifo or nobody waits at it: then the program has to be asked, which knows why.
 */
export async function openStartGate(kind: RuntimeKind, stateDirectory: string, hasEnded: () => boolean): Promise<boolean> {
  if (kind === 'other') return false;
  const fifo = `${stateDirectory}/exec.fifo`;
  let fd: number;
  try {
    fd = openSync(fifo, (kind === 'crun' ? constants.O_WRONLY : constants.O_RDONLY) | constants.O_NONBLOCK);
  } catch (err) {
    if (isErrno(err, 'ENOENT', 'ENXIO')) return false;
    throw err;
  }
  try {
    if (kind === 'crun') writeSync(fd, new Uint8Array(1));
    else if (!(await readByte(fd, hasEnded))) return false;
  } finally {
    closeSync(fd);
  }
  rmSync(fifo, { force: true });
  return true;
}

/** Opening the fifo let its writer go on, which takes it a moment: until then reading finds nothing, or no writer. */
async function readByte(fd: number, hasEnded: () => boolean): Promise<boolean> {
  for (;;) {
    // Asked before reading: a short-lived entrypoint may have ended by now, and its byte is still there.
    const isLast = hasEnded();
    try {
      if (readSync(fd, new Uint8Array(1)) === 1) return true;
    } catch (err) {
      if (!isErrno(err, 'EAGAIN')) throw err;
    }
    if (isLast) return false;
    await delay(0.2);
  }
}
