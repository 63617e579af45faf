import { closeSync, readFileSync, writeSync } from 'node:fs';
import { isErrno } from '#base/errors.ts';
import { check, cstring, libc } from './libc.ts';

const { memfd_create, fcntl } = libc({
  memfd_create: { args: ['ptr', 'u32'], returns: 'i32' },
  fcntl: { args: ['i32', 'i32', 'i32'], returns: 'i32' },
});

const MFD_CLOEXEC = 1;
const MFD_ALLOW_SEALING = 2;
const MFD_EXEC = 0x10;
const F_ADD_SEALS = 1033;
const allSeals = 0x1 | 0x2 | 0x4 | 0x8; // seal, shrink, grow, write

/**
 * A copy of a file in memory that nobody can change any more, root included (memfd_create(2), fcntl(2) F_ADD_SEALS). Returns its descriptor, which
 * can be executed as `/proc/<pid>/fd/<n>` while it is open. The caller closes it.
 */
export function sealedCopy(path: string): number {
  const fd = createMemoryFile(path.split('/').at(-1) ?? path);
  try {
    const content = readFileSync(path);
    for (let written = 0; written < content.length; ) written += writeSync(fd, content, written);
    check(fcntl(fd, F_ADD_SEALS, allSeals), 'fcntl F_ADD_SEALS', path);
  } catch (err) {
    closeSync(fd);
    throw err;
  }
  return fd;
}

/** Kernels before 6.3 do not know MFD_EXEC; those after may be set to refuse execution without it. */
function createMemoryFile(name: string): number {
  const create = (flags: number): number => check(memfd_create(cstring(name), MFD_CLOEXEC | MFD_ALLOW_SEALING | flags), 'memfd_create');
  try {
    return create(MFD_EXEC);
  } catch (err) {
    if (isErrno(err, 'EINVAL')) return create(0);
    throw err;
  }
}
