import { readFileSync } from 'node:fs';
import { check, libc } from './libc.ts';

const { madvise } = libc({ madvise: { args: ['usize', 'usize', 'i32'], returns: 'i32' } });

const MADV_DONTNEED = 4;

/**
 * Lets go of the pages of programs and libraries that this process has used so far; those it uses again come back from the page cache. Much of a
 * program is needed only to start it.
 */
export function releaseProgramPages(): void {
  for (const { start, end } of untouchedFileMappings(readFileSync('/proc/self/smaps', 'latin1'))) {
    check(madvise(BigInt(start), BigInt(end - start), MADV_DONTNEED), 'madvise');
  }
}

export interface Mapping {
  readonly start: number;
  readonly end: number;
}

/** Mappings of files that are read-only and of which no page was ever changed (a relocated one was): what is let go can be read again. */
export function untouchedFileMappings(smaps: string): Mapping[] {
  const found: Mapping[] = [];
  let candidate: Mapping | undefined;
  for (const line of smaps.split('\n')) {
    const head = /^([0-9a-f]+)-([0-9a-f]+) (r--|r-x)p [0-9a-f]+ \S+ [1-9]\d* +\//.exec(line);
    if (head !== null) candidate = { start: Number.parseInt(head[1] ?? '', 16), end: Number.parseInt(head[2] ?? '', 16) };
    else if (/^[0-9a-f]+-[0-9a-f]+ /.test(line)) candidate = undefined;
    else if (candidate !== undefined && /^Anonymous: +0 kB/.test(line)) found.push(candidate);
  }
  return found;
}
