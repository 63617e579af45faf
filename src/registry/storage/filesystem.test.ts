import { mkdtemp, rm } from 'node:fs/promises';
import { openFilesystemStorage } from './filesystem.ts';
import { storageContract } from './storage.contract.ts';

storageContract('the file system', async () => {
  const folder = await mkdtemp('/tmp/berth-fs-');
  return {
    open: () => Promise.resolve(openFilesystemStorage(folder)),
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }),
  };
});
