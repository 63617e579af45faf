import { appendFile, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { silentLogger } from '#base/log.ts';
import { contentStoreContract } from '#core/content.contract.ts';
import { encodedOf } from '#oci/digest.ts';
import { openContentStore } from './local-store.ts';

contentStoreContract('a directory', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'berth-content-'));
  return {
    open: () => openContentStore({ dir, log: silentLogger }),
    damage: digest => appendFile(join(dir, 'blobs/sha256', encodedOf(digest)), 'x'),
    unfinished: async () => (await readdir(join(dir, 'ingest'))).length,
    dispose: () => rm(dir, { recursive: true }),
  };
});
