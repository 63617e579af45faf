import { closeSync } from 'node:fs';
import { writeFully } from './fs.ts';
import { check, cstring, libc } from './libc.ts';

const c = libc({
  memfd_create: { args: ['ptr', 'u32'], returns: 'i32' },
  fcntl: { args: ['i32', 'i32', 'i32'], returns: 'i32' },
});

const MFD_CLOEXEC = 1;
const MFD_ALLOW_SEALING = 2;
const F_ADD_SEALS = 1033;
/** Neither its size nor its bytes nor these rules can change any more. */
const allSeals = 0x1 | 0x2 | 0x4 | 0x8;

/** A file in memory that holds these bytes for good. The caller closes it. */
export function sealedMemoryFile(name: string, bytes: Uint8Array): number {
  const fd = check(c.memfd_create(cstring(name), MFD_CLOEXEC | MFD_ALLOW_SEALING), 'memfd_create');
  try {
    writeFully(fd, bytes);
    check(c.fcntl(fd, F_ADD_SEALS, allSeals), 'fcntl');
    return fd;
  } catch (err) {
    closeSync(fd);
    throw err;
  }
}
