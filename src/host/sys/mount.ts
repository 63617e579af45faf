import { ptr } from 'bun:ffi';
import { isErrno } from '#base/errors.ts';
import { closeFd } from './fs.ts';
import { check, cstring, errno, libc, SystemError } from './libc.ts';

/** Mounts through system calls. All are synchronous and throw SystemError. */
const c = libc({
  mount: { args: ['ptr', 'ptr', 'ptr', 'u64', 'ptr'], returns: 'i32' },
  umount2: { args: ['ptr', 'i32'], returns: 'i32' },
  read: { args: ['i32', 'ptr', 'usize'], returns: 'i32' },
  statfs: { args: ['ptr', 'ptr'], returns: 'i32' },
});
const fsopen = libc({ syscall: { args: ['i64', 'ptr', 'u32'], returns: 'i32' } }).syscall;
const fsconfig = libc({ syscall: { args: ['i64', 'i32', 'u32', 'ptr', 'ptr', 'i32'], returns: 'i32' } }).syscall;
const fsmount = libc({ syscall: { args: ['i64', 'i32', 'u32', 'u32'], returns: 'i32' } }).syscall;
const moveMount = libc({ syscall: { args: ['i64', 'i32', 'ptr', 'i32', 'ptr', 'u32'], returns: 'i32' } }).syscall;

// The same on every architecture.
const sys = { moveMount: 429, fsopen: 430, fsconfig: 431, fsmount: 432 } as const;
const fsCloexec = 1;
const command = { setFlag: 0, setString: 1, create: 6 } as const;
const moveFromEmptyPath = 4;
const atCwd = -100;

export const mountFlags = {
  readOnly: 0x1n,
  noSuid: 0x2n,
  noDev: 0x4n,
  noExec: 0x8n,
  remount: 0x20n,
  bind: 0x1000n,
  recursive: 0x4000n,
  private: 0x40000n,
  slave: 0x80000n,
  shared: 0x100000n,
} as const;

const mntDetach = 2;

/** mount(2). `data` are the file system's own options, separated by commas. */
export function mount(source: string, target: string, type: string, flags = 0n, data = ''): void {
  const result = c.mount(cstring(source), cstring(target), type === '' ? null : cstring(type), flags, data === '' ? null : cstring(data));
  check(result, 'mount', target);
}

/** Makes a directory or file appear in a second place. */
export function bindMount(
  source: string,
  target: string,
  options: { readonly recursive?: boolean; readonly readOnly?: boolean } = {},
): void {
  const { bind, recursive } = mountFlags;
  mount(source, target, '', bind | (options.recursive === true ? recursive : 0n));
  if (options.readOnly !== true) return;
  try {
    makeReadOnly(target);
  } catch (err) {
    unmount(target, { detach: true });
    throw err;
  }
}

/** Nothing can be written through this mount any more. */
export const makeReadOnly = (target: string): void => mount('none', target, '', mountFlags.bind | mountFlags.remount | mountFlags.readOnly);

// struct statfs of 64-bit kernels is a row of longs; the flags are the eleventh (statfs(2)).
const statfs = new BigInt64Array(16);
const flagsAt = 10;

/** Whether nothing can be written through the mount that a path is on; false when there is no such path. */
export const isReadOnlyMount = (path: string): boolean =>
  c.statfs(cstring(path), ptr(statfs)) === 0 && ((statfs[flagsAt] ?? 0n) & mountFlags.readOnly) !== 0n;

/** Mounts made below this mount point stay in this mount namespace. */
export const makePrivate = (target: string): void => mount('none', target, '', mountFlags.private | mountFlags.recursive);

/** False when nothing is mounted there. `detach` takes it out of sight at once, even while it is in use. */
export function unmount(target: string, options: { readonly detach?: boolean } = {}): boolean {
  const result = c.umount2(cstring(target), options.detach === true ? mntDetach : 0);
  if (result === -1 && [2, 22].includes(errno())) return false;
  check(result, 'umount', target);
  return true;
}

export interface Overlay {
  /** Uppermost first. */
  readonly lowerDirs: readonly string[];
  readonly upperDir: string;
  readonly workDir: string;
  /** Skips every sync, also the one at unmount. */
  readonly volatile: boolean;
}

const overlayOptions = [
  // A writable layer has to be complete in itself, and nothing in an image may redirect a lookup.
  ['index', 'off'],
  ['metacopy', 'off'],
  ['redirect_dir', 'nofollow'],
] as const;

/** Mounts layers on top of each other. The number of layers is not limited by the length of an option string where the kernel has `lowerdir+` (6.7). */
export function mountOverlay(overlay: Overlay, target: string): void {
  const paths = [...overlay.lowerDirs, overlay.upperDir, overlay.workDir];
  if (lowerDirPlus === 'missing' || paths.some(path => Buffer.byteLength(path) > 255)) return mountOverlayByOptions(overlay, target);
  try {
    mountOverlayStepwise(overlay, target);
    lowerDirPlus = 'there';
  } catch (err) {
    // Kernels from before 5.2 lack the calls. Up to 6.6 overlay takes any option and objects only when all are told, with no more than EINVAL.
    if (lowerDirPlus === 'there' || !isErrno(err, 'ENOSYS', 'EINVAL')) throw err;
    try {
      mountOverlayByOptions(overlay, target);
    } catch {
      throw err;
    }
    lowerDirPlus = 'missing';
  }
}

let lowerDirPlus: 'unknown' | 'there' | 'missing' = 'unknown';

function mountOverlayStepwise(overlay: Overlay, target: string): void {
  const fd = check(fsopen(sys.fsopen, cstring('overlay'), fsCloexec), 'fsopen', 'overlay');
  try {
    for (const lower of overlay.lowerDirs)
      expectConfigured(fd, configure(fd, command.setString, 'lowerdir+', lower), `lower directory ${lower}`);
    expectConfigured(fd, configure(fd, command.setString, 'upperdir', overlay.upperDir), `upper directory ${overlay.upperDir}`);
    expectConfigured(fd, configure(fd, command.setString, 'workdir', overlay.workDir), `work directory ${overlay.workDir}`);
    for (const [key, value] of overlayOptions) expectConfigured(fd, configure(fd, command.setString, key, value), `option ${key}`);
    if (overlay.volatile) expectConfigured(fd, configure(fd, command.setFlag, 'volatile'), 'option volatile');
    expectConfigured(fd, configure(fd, command.create), target);
    const mountFd = check(fsmount(sys.fsmount, fd, fsCloexec, 0), 'fsmount', target);
    try {
      check(moveMount(sys.moveMount, mountFd, cstring(''), atCwd, cstring(target), moveFromEmptyPath), 'move_mount', target);
    } finally {
      closeFd(mountFd);
    }
  } finally {
    closeFd(fd);
  }
}

/** The errno; 0 when it worked. */
function configure(fd: number, what: number, key?: string, value?: string): number {
  const text = (part: string | undefined): Uint8Array | null => (part === undefined ? null : cstring(part));
  return fsconfig(sys.fsconfig, fd, what, text(key), text(value), 0) === -1 ? errno() : 0;
}

/** Throws with what the kernel wrote into the descriptor's own log. */
function expectConfigured(fd: number, error: number, subject: string): void {
  if (error === 0) return;
  const buffer = new Uint8Array(1024);
  let words = '';
  for (let count = c.read(fd, ptr(buffer), buffer.length); count > 0; count = c.read(fd, ptr(buffer), buffer.length)) {
    words += ` (${new TextDecoder().decode(buffer.subarray(0, count)).trim()})`;
  }
  throw new SystemError('overlay mount', error, `${subject}${words}`);
}

const pageBytes = 4096;

function mountOverlayByOptions(overlay: Overlay, target: string): void {
  const build = (path: (absolute: string) => string): string =>
    [
      `lowerdir=${overlay.lowerDirs.map(lower => escapeOption(path(lower))).join(':')}`,
      `upperdir=${escapeOption(overlay.upperDir)}`,
      `workdir=${escapeOption(overlay.workDir)}`,
      ...overlayOptions.map(([key, value]) => `${key}=${value}`),
      ...(overlay.volatile ? ['volatile'] : []),
    ].join(',');
  const options = build(path => path);
  if (options.length < pageBytes) return mount('overlay', target, 'overlay', 0n, options);
  // Too long for the one page that mount(2) takes: the same with paths relative to where most layers are. Nothing else runs in between.
  const base = `${overlay.upperDir.slice(0, overlay.upperDir.lastIndexOf('/', overlay.upperDir.lastIndexOf('/') - 1))}/`;
  const before = process.cwd();
  process.chdir(base);
  try {
    mount(
      'overlay',
      target,
      'overlay',
      0n,
      build(path => (path.startsWith(base) ? path.slice(base.length) : path)),
    );
  } finally {
    process.chdir(before);
  }
}

const escapeOption = (path: string): string => path.replace(/[\\,:]/g, found => `\\${found}`);
