import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { failedPrecondition, isErrno } from '#base/errors.ts';
import { type HeldLock, tryLock } from '#host/sys/flock.ts';
import { beginOf, commandLine } from '#host/sys/process.ts';

/** The names by which one daemon's things are known on the machine; several daemons run side by side because theirs differ. */
export interface Instance {
  /** `` for the daemon of the default data root, else eight hexadecimal digits made from the data root. */
  readonly suffix: string;
  readonly bridgeName: string;
  readonly tableName: string;
  readonly cgroupParent: string;
}

export function instanceFor(dataRoot: string): Instance {
  const suffix = dataRoot === '/var/lib/berth' ? '' : createHash('sha256').update(dataRoot).digest('hex').slice(0, 8);
  return {
    suffix,
    bridgeName: suffix === '' ? 'berth0' : `berth-${suffix}`,
    tableName: suffix === '' ? 'berth' : `berth_${suffix}`,
    cgroupParent: suffix === '' ? '/berth' : `/berth-${suffix}`,
  };
}

/**
 * How long a lock is waited for that nobody will hold for long: of a daemon that is ending, or has ended while a process that it was about to start
 * has not yet become another program, which on a busy machine may take a while.
 */
const passingLockMs = 5000;

/** The two roots of a daemon, held until disposed of. */
export interface ClaimedRoots extends Disposable {
  /** Lets the next daemon wait for the end of this one. */
  ending(): void;
}

/** Makes the two roots and takes the lock that keeps a second daemon out of each. Rejects at once while another daemon runs. */
export async function claimRoots(dataRoot: string, execRoot: string): Promise<ClaimedRoots> {
  const claimed = new DisposableStack();
  const locks: HeldLock[] = [];
  const deadline = performance.now() + passingLockMs;
  for (const [root, flag] of [
    [dataRoot, '--data-root'],
    [execRoot, '--exec-root'],
  ] as const) {
    mkdirSync(root, { recursive: true, mode: 0o710 });
    const file = join(root, 'daemon.lock');
    let lock = tryLock(file);
    while (lock === undefined && !isHeldForLong(file) && performance.now() < deadline) {
      await delay(20);
      lock = tryLock(file);
    }
    if (lock === undefined) {
      claimed.dispose();
      throw failedPrecondition(`another daemon is using ${root}: stop it or choose another ${flag}`);
    }
    claimed.use(lock);
    lock.write(thisProcess());
    locks.push(lock);
  }
  return {
    ending: () => locks.forEach(lock => lock.write('')),
    [Symbol.dispose]: () => claimed.dispose(),
  };
}

const thisProcess = (): string => `${String(process.pid)} ${String(beginOf(process.pid))}`;

/** Whether the daemon that has taken a lock lives and has not said that it is ending. */
function isHeldForLong(file: string): boolean {
  const [pid = 0, begin] = readFileSync(file, 'utf8').split(' ').map(Number);
  return pid > 0 && commandLine(pid) !== undefined && beginOf(pid) === begin;
}

/** Writes the process id; refuses when the file names another process that is alive. */
export function claimPidfile(path: string): Disposable {
  const other = readPid(path);
  if (other !== undefined && other !== process.pid && isDaemon(other)) {
    throw failedPrecondition(`process with PID ${String(other)} is still running: stop it, or delete ${path} if it is not a daemon`);
  }
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, String(process.pid), { mode: 0o644 });
  return {
    [Symbol.dispose]: () => {
      if (readPid(path) === process.pid) rmSync(path, { force: true });
    },
  };
}

function readPid(path: string): number | undefined {
  try {
    const pid = Number.parseInt(readFileSync(path, 'utf8'), 10);
    return Number.isInteger(pid) && pid > 0 ? pid : undefined;
  } catch (err) {
    if (isErrno(err, 'ENOENT')) return undefined;
    throw err;
  }
}

/** A left-over pidfile may name a process that has nothing to do with us. */
function isDaemon(pid: number): boolean {
  try {
    return readFileSync(`/proc/${String(pid)}/cmdline`, 'utf8')
      .split('\0')
      .includes('daemon');
  } catch {
    return false;
  }
}
