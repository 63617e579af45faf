import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { failedPrecondition, isErrno } from '#base/errors.ts';
import { tryLock } from '#host/sys/flock.ts';

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

/** A process that a killed daemon was about to start holds its locks until it has become another program: a moment, on a busy machine a long one. */
const inheritedLockMs = 5000;

/** Makes the two roots and takes the lock that keeps a second daemon out of each. */
export async function claimRoots(dataRoot: string, execRoot: string): Promise<Disposable> {
  const claimed = new DisposableStack();
  const deadline = performance.now() + inheritedLockMs;
  for (const [root, flag] of [
    [dataRoot, '--data-root'],
    [execRoot, '--exec-root'],
  ] as const) {
    mkdirSync(root, { recursive: true, mode: 0o710 });
    let lock = tryLock(join(root, 'daemon.lock'));
    while (lock === undefined && performance.now() < deadline) {
      await delay(20);
      lock = tryLock(join(root, 'daemon.lock'));
    }
    if (lock === undefined) {
      claimed.dispose();
      throw failedPrecondition(`another daemon is using ${root}: stop it or choose another ${flag}`);
    }
    claimed.use(lock);
  }
  return claimed;
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
