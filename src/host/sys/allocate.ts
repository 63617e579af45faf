import { check, libc } from './libc.ts';

const c = libc({ fallocate: { args: ['i32', 'i32', 'i64', 'i64'], returns: 'i32' } });

const FALLOC_FL_KEEP_SIZE = 1;

/** Takes blocks on the disk for this part of a file without making it longer: what is written there later finds its place, however full the disk is. */
export function reserveBlocks(fd: number, offset: number, length: number): void {
  check(c.fallocate(fd, FALLOC_FL_KEEP_SIZE, BigInt(offset), BigInt(length)), 'fallocate');
}
