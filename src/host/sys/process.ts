import { readFileSync } from 'node:fs';
import { isErrno } from '#base/errors.ts';
import { check, libc } from './libc.ts';
import { adoptSocket } from './unix-socket.ts';

const { syscall } = libc({
  syscall: { args: ['i64', 'i64', 'i64', 'i64', 'i64'], returns: 'i64' },
});

// The numbers are the same on every architecture: these calls are younger than the common table.
const sysPidfdSendSignal = 424;
const sysPidfdOpen = 434;

/**
 * A descriptor for one process. It goes on naming that process after the process has ended, so a signal can never reach another one that got
 * the same pid later. Undefined when there is no such process. The caller closes it.
 */
export function openPidfd(pid: number): number | undefined {
  const fd = Number(syscall(sysPidfdOpen, pid, 0, 0, 0));
  try {
    return check(fd, 'pidfd_open', String(pid));
  } catch (err) {
    if (isErrno(err, 'ESRCH')) return undefined;
    throw err;
  }
}

/** Sends a signal; false when the process has ended. Signal 0 only asks. */
export function signalPidfd(pidfd: number, signal: number): boolean {
  try {
    check(Number(syscall(sysPidfdSendSignal, pidfd, signal, 0, 0)), 'pidfd_send_signal');
    return true;
  } catch (err) {
    if (isErrno(err, 'ESRCH')) return false;
    throw err;
  }
}

/** Resolves when the process behind the descriptor has ended. Takes the descriptor over and closes it. */
export async function pidfdEnd(pidfd: number): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  // The event loop reports a pidfd readable when its process ends; reading it is an error, which closes the "socket".
  await adoptSocket({ fd: pidfd, socket: { data: () => undefined, close: () => resolve(), error: () => resolve() } });
  await promise;
}

/** Command line of a process, split at its zero bytes; undefined when it is gone (or a zombie, whose command line is empty). */
export function commandLine(pid: number): string[] | undefined {
  try {
    const text = readFileSync(`/proc/${String(pid)}/cmdline`, 'latin1');
    return text === '' ? undefined : text.split('\0').slice(0, -1);
  } catch (err) {
    if (isErrno(err, 'ENOENT', 'ESRCH')) return undefined;
    throw err;
  }
}

/** The id of the session that a process belongs to; undefined when it is gone. */
export const sessionOf = (pid: number): number | undefined => statField(pid, 6);

/** When a process began, in ticks since the machine did: with the pid it names one process. Undefined when it is gone. */
export const beginOf = (pid: number): number | undefined => statField(pid, 22);

/** A number of /proc/PID/stat by its place (proc(5)). */
function statField(pid: number, place: number): number | undefined {
  try {
    const stat = readFileSync(`/proc/${String(pid)}/stat`, 'latin1');
    // pid (name) state …; a name may hold anything, parentheses too.
    return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[place - 3]);
  } catch (err) {
    if (isErrno(err, 'ENOENT', 'ESRCH')) return undefined;
    throw err;
  }
}
