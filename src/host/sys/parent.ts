import { check, libc } from './libc.ts';

const { prctl } = libc({ prctl: { args: ['i32', 'u64', 'u64', 'u64', 'u64'], returns: 'i32' } });

const prSetPdeathsig = 1;
const sigKill = 9;

/** From now on the kernel ends this process when the one with this pid, which started it, ends. */
export function endWithParent(parentPid: number): void {
  check(prctl(prSetPdeathsig, sigKill, 0, 0, 0), 'prctl PR_SET_PDEATHSIG');
  // It may have ended before the call.
  if (process.ppid !== parentPid) process.exit(1);
}
