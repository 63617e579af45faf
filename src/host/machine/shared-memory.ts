import { mkdirSync } from 'node:fs';
import { mount, mountFlags, unmount } from '#host/sys/mount.ts';

const { noDev, noExec, noSuid } = mountFlags;

/** A /dev/shm that several containers can have; implements what containers need of it (`SharedMemory`). */
export function createSharedMemory() {
  return {
    mount(path: string, sizeBytes: number): void {
      mkdirSync(path, { recursive: true, mode: 0o700 });
      unmount(path, { detach: true });
      mount('shm', path, 'tmpfs', noDev | noExec | noSuid, `mode=1777,size=${String(sizeBytes)}`);
    },
    unmount(path: string): void {
      unmount(path, { detach: true });
    },
  };
}
