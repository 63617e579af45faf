import { ptr } from 'bun:ffi';
import { isErrno } from '#base/errors.ts';
import { decodeName } from '#oci/tar/names.ts';
import { check, libc } from './libc.ts';
import { nameBytes } from './fs.ts';

/** What an inode says about itself, read relative to a directory's descriptor and never through a link. Needs no /proc. */
const c = libc({
  statx: { args: ['i32', 'ptr', 'i32', 'u32', 'ptr'], returns: 'i32' },
  readlinkat: { args: ['i32', 'ptr', 'ptr', 'usize'], returns: 'i64' },
  fstatfs: { args: ['i32', 'ptr'], returns: 'i32' },
  getdents64: { args: ['i32', 'ptr', 'usize'], returns: 'i64' },
});

export type InodeType = 'file' | 'directory' | 'symlink' | 'char' | 'block' | 'fifo' | 'socket';

export interface Inode {
  readonly type: InodeType;
  /** Permission bits with setuid, setgid and sticky. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly links: number;
  readonly sizeBytes: number;
  readonly mtime: { readonly seconds: number; readonly nanoseconds: number };
  /** When anything of it changed last, nanoseconds since 1970. */
  readonly changedNs: bigint;
  /** Same text, same inode. */
  readonly identity: string;
  /** Names the file system. */
  readonly device: string;
  readonly deviceMajor: number;
  readonly deviceMinor: number;
  /** The root of a mount. Kernels before 5.8 do not tell. */
  readonly isMountRoot: boolean;
}

const types: Readonly<Record<number, InodeType>> = {
  1: 'fifo',
  2: 'char',
  4: 'directory',
  6: 'block',
  8: 'file',
  10: 'symlink',
  12: 'socket',
};

const emptyPath = 0x1000;
const noFollow = 0x100;
const noAutomount = 0x800;
const basicStats = 0x7ff;
const mountRoot = 0x2000n;

// struct statx, the same on every architecture (statx(2)).
const buffer = new ArrayBuffer(256);
const view = new DataView(buffer);
const bufferPointer = ptr(new Uint8Array(buffer));

/** Of what has this name in a directory; an empty name means the descriptor itself. */
export function inodeAt(dirFd: number, name: string): Inode {
  check(c.statx(dirFd, nameBytes(name), (name === '' ? emptyPath : 0) | noFollow | noAutomount, basicStats, bufferPointer), 'statx', name);
  const word = (offset: number): number => view.getUint32(offset, true);
  const long = (offset: number): bigint => view.getBigUint64(offset, true);
  const mode = view.getUint16(28, true);
  const device = `${String(word(136))}:${String(word(140))}`;
  return {
    type: types[mode >> 12] ?? 'file',
    mode: mode & 0o7777,
    links: word(16),
    uid: word(20),
    gid: word(24),
    sizeBytes: Number(long(40)),
    mtime: { seconds: Number(view.getBigInt64(112, true)), nanoseconds: word(120) },
    changedNs: view.getBigInt64(96, true) * 1_000_000_000n + BigInt(word(104)),
    identity: `${device}:${String(long(32))}`,
    device,
    deviceMajor: word(128),
    deviceMinor: word(132),
    isMountRoot: (long(8) & mountRoot) !== 0n,
  };
}

/** Undefined when nothing has this name. */
export function inodeIfThere(dirFd: number, name: string): Inode | undefined {
  try {
    return inodeAt(dirFd, name);
  } catch (err) {
    if (isErrno(err, 'ENOENT', 'ENOTDIR')) return undefined;
    throw err;
  }
}

const linkBuffer = new Uint8Array(4096);

/** What a symlink says. */
export function linkTargetAt(dirFd: number, name: string): string {
  const length = check(Number(c.readlinkat(dirFd, nameBytes(name), ptr(linkBuffer), linkBuffer.length)), 'readlinkat', name);
  return decodeName(linkBuffer.slice(0, length));
}

const entryBuffer = new Uint8Array(64 * 1024);
const entryView = new DataView(entryBuffer.buffer);
const entryPointer = ptr(entryBuffer);

/** The names in a directory that was opened for reading and not read before, in order of their bytes. */
export function namesIn(dirFd: number): string[] {
  const names: Buffer[] = [];
  for (;;) {
    const length = check(Number(c.getdents64(dirFd, entryPointer, entryBuffer.length)), 'getdents64');
    if (length === 0) break;
    // struct linux_dirent64: inode and offset (8 bytes each), length of the record (2), type (1), the name and a zero.
    for (let at = 0; at < length; at += entryView.getUint16(at + 16, true)) {
      const end = entryBuffer.indexOf(0, at + 19);
      const name = Buffer.from(entryBuffer.subarray(at + 19, end));
      if (!(name[0] === 0x2e && (name.length === 1 || (name.length === 2 && name[1] === 0x2e)))) names.push(name);
    }
  }
  return names.sort((a, b) => Buffer.compare(a, b)).map(decodeName);
}

const statfs = new BigInt64Array(16);
const statfsPointer = ptr(statfs);

/** File systems whose files the kernel makes up: proc, sysfs, cgroup, cgroup2, devpts, mqueue, bpf, debugfs, tracefs, securityfs, selinuxfs, pstore,
 *  binfmt_misc, fusectl, configfs, efivarfs (statfs(2), Type constants). */
const kernelTypes = new Set<bigint>([
  ...[0x9fa0n, 0x62656572n, 0x27e0ebn, 0x63677270n, 0x1cd1n, 0x19800202n, 0xcafe4a11n, 0x64626720n],
  ...[0x74726163n, 0x73636673n, 0xf97cff8cn, 0x6165676cn, 0x42494e4dn, 0x65735543n, 0x62656570n, 0xde5e81e4n],
]);

/** Whether a descriptor is in a file system whose files are no files of anybody's. */
export function isKernelFileSystem(fd: number): boolean {
  check(c.fstatfs(fd, statfsPointer), 'fstatfs');
  return kernelTypes.has(statfs[0] ?? 0n);
}
