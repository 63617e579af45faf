import { ptr } from 'bun:ffi';
import { closeFd } from './fs.ts';
import { check, cstring, libc } from './libc.ts';

/** Mounts that show the files below them with other owners (mount_setattr(2), MOUNT_ATTR_IDMAP). */
const openTree = libc({ syscall: { args: ['i64', 'i32', 'ptr', 'u32'], returns: 'i32' } }).syscall;
const mountSetattr = libc({ syscall: { args: ['i64', 'i32', 'ptr', 'u32', 'ptr', 'usize'], returns: 'i32' } }).syscall;
const moveMount = libc({ syscall: { args: ['i64', 'i32', 'ptr', 'i32', 'ptr', 'u32'], returns: 'i32' } }).syscall;

// The same on every architecture.
const sys = { openTree: 428, moveMount: 429, mountSetattr: 442 } as const;
const atCwd = -100;
const atEmptyPath = 0x1000;
const openTreeClone = 1;
const openTreeCloexec = 0o2000000;
const attrIdMap = 0x100000n;
const moveFromEmptyPath = 4;

/**
 * Shows a directory at another place, with owners mapped as a user namespace maps its ids. Throws SystemError: ENOSYS before Linux 5.12, EINVAL where
 * the file system cannot do it.
 */
export function mountMapped(source: string, target: string, userNamespaceFd: number): void {
  const tree = check(openTree(sys.openTree, atCwd, cstring(source), openTreeClone | openTreeCloexec), 'open_tree', source);
  try {
    // struct mount_attr: what to set, what to clear, propagation, the namespace.
    const attributes = new BigUint64Array([attrIdMap, 0n, 0n, BigInt(userNamespaceFd)]);
    check(mountSetattr(sys.mountSetattr, tree, cstring(''), atEmptyPath, ptr(attributes), attributes.byteLength), 'mount_setattr', source);
    check(moveMount(sys.moveMount, tree, cstring(''), atCwd, cstring(target), moveFromEmptyPath), 'move_mount', target);
  } finally {
    closeFd(tree);
  }
}
