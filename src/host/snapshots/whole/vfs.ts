import { mkdirSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { failedPrecondition } from '#base/errors.ts';
import { copyFiles } from './copy-files.ts';
import type { Trees } from './form.ts';

/** Plain copies in plain directories: needs nothing of the file system, and takes the time and the space of a copy for each layer and container. */
export const vfsTrees: Trees = {
  name: 'vfs',
  sharesBlocks: false,
  make: directory => mkdirSync(directory, { mode: 0o755 }),
  copy: copyFiles,
  remove: directory => rm(directory, { recursive: true, force: true }),
  limit() {
    throw failedPrecondition(
      'the storage driver vfs cannot limit the size of a container: btrfs can, and overlay2 on xfs or ext4 with project quotas',
    );
  },
};
