import { expect } from 'bun:test';
import { appendFile, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { kindOf, messageOf } from '#base/errors.ts';
import { silentLogger } from '#base/log.ts';
import { contentStoreContract } from '#core/content.contract.ts';
import { mount, unmount } from '#host/sys/mount.ts';
import { encodedOf } from '#oci/digest.ts';
import { needs } from '#test/helpers/needs.ts';
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

needs('root').test('a full disk is ResourceExhausted, and leaves nothing', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'berth-content-'));
  mount('tmpfs', dir, 'tmpfs', 0n, 'size=1m');
  try {
    const store = await openContentStore({ dir, log: silentLogger });
    const write = async (): Promise<void> => {
      await using writer = await store.writer();
      for (let i = 0; i < 32; i += 1) await writer.write(new Uint8Array(65_536));
      await writer.commit();
    };
    const reason: unknown = await write().catch((err: unknown) => err);
    expect(kindOf(reason)).toBe('ResourceExhausted');
    expect(messageOf(reason)).toMatch(/no space left on device while writing/);
    expect(await readdir(join(dir, 'ingest'))).toEqual([]);
  } finally {
    unmount(dir);
    await rm(dir, { recursive: true });
  }
});
