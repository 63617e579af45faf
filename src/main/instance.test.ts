import { afterEach, beforeEach, expect, test } from 'bun:test';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { messageOf } from '#base/errors.ts';
import { claimRoots } from './instance.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'berth-roots-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

const claim = () => claimRoots(join(folder, 'data'), join(folder, 'run'));

test('a second claim is refused at once while the first lives', async () => {
  using _first = await claim();
  const began = performance.now();
  const refusal = await claim().then(
    () => 'claimed',
    (err: unknown) => messageOf(err),
  );
  expect(refusal).toBe(`another daemon is using ${join(folder, 'data')}: stop it or choose another --data-root`);
  expect(performance.now() - began).toBeLessThan(1000);
});

test('a second claim waits for a first that is ending, or whose daemon has died', async () => {
  for (const goes of ['ends', 'died'] as const) {
    const first = await claim();
    if (goes === 'ends') first.ending();
    // Nobody has this number, but a process that the daemon had begun still holds the lock.
    else for (const root of ['data', 'run']) writeFileSync(join(folder, root, 'daemon.lock'), '4194305 1');
    const second = claim();
    setTimeout(() => first[Symbol.dispose](), 60);
    (await second)[Symbol.dispose]();
  }
});
