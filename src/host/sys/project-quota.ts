import { ptr } from 'bun:ffi';
import { atCwd, closeFd, openDirectory } from './fs.ts';
import { errno, libc } from './libc.ts';

/**
 * Project quotas: a directory and all that is made in it counts for a number, and what counts for a number is limited (quotactl(2), ioctl_xfs_fsgetxattr).
 * ext4, xfs and f2fs have them where they were made and mounted with them. Everything is synchronous; functions return the errno, 0 when it worked.
 */
const { ioctl } = libc({ ioctl: { args: ['i32', 'u64', 'ptr'], returns: 'i32' } });
const { syscall } = libc({ syscall: { args: ['i64', 'i32', 'u32', 'u32', 'ptr'], returns: 'i32' } });

// linux/fs.h: struct fsxattr has 28 bytes, the flags first and the project in the fourth word.
const getAttributes = 0x801c581f;
const setAttributes = 0x401c5820;
const attributeBytes = 28;
const projectOffset = 12;
/** What is made in a directory belongs to its project. */
const inherits = 0x200;

// Linux 5.14 and newer, the same number on every architecture.
const quotactlFd = 443;
const projectQuota = 2;
const getQuota = (0x800007 << 8) | projectQuota;
const setQuota = (0x800008 << 8) | projectQuota;
// struct if_dqblk: limits in blocks of 1024 bytes, what is used in bytes; which of them are meant comes last.
const quotaBytes = 72;
const blockBytes = 1024;
const validOffset = 64;
const blockLimits = 1;

function onDirectory<T>(path: string, action: (fd: number) => T): T {
  const fd = openDirectory(atCwd, path);
  try {
    return action(fd);
  } finally {
    closeFd(fd);
  }
}

/** The project of a directory; 0: none. */
export function projectOf(path: string): number {
  return onDirectory(path, fd => {
    const attributes = new Uint8Array(attributeBytes);
    return ioctl(fd, getAttributes, ptr(attributes)) === -1 ? 0 : new DataView(attributes.buffer).getUint32(projectOffset, true);
  });
}

export function setProject(path: string, project: number): number {
  return onDirectory(path, fd => {
    const attributes = new Uint8Array(attributeBytes);
    if (ioctl(fd, getAttributes, ptr(attributes)) === -1) return errno();
    const view = new DataView(attributes.buffer);
    view.setUint32(0, view.getUint32(0, true) | inherits, true);
    view.setUint32(projectOffset, project, true);
    return ioctl(fd, setAttributes, ptr(attributes)) === -1 ? errno() : 0;
  });
}

export interface ProjectUse {
  readonly limitBytes: number;
  readonly usedBytes: number;
}

/** How much a project may hold and holds; the errno where that is not counted. */
export function projectUse(path: string, project: number): ProjectUse | number {
  return onDirectory(path, fd => {
    const quota = new Uint8Array(quotaBytes);
    if (syscall(quotactlFd, fd, getQuota, project, ptr(quota)) === -1) return errno();
    const view = new DataView(quota.buffer);
    return { limitBytes: Number(view.getBigUint64(0, true)) * blockBytes, usedBytes: Number(view.getBigUint64(16, true)) };
  });
}

/** `sizeBytes` 0: no limit. */
export function limitProject(path: string, project: number, sizeBytes: number): number {
  return onDirectory(path, fd => {
    const quota = new Uint8Array(quotaBytes);
    const view = new DataView(quota.buffer);
    view.setBigUint64(0, BigInt(Math.ceil(sizeBytes / blockBytes)), true);
    view.setUint32(validOffset, blockLimits, true);
    return syscall(quotactlFd, fd, setQuota, project, ptr(quota)) === -1 ? errno() : 0;
  });
}
