import { expect } from 'bun:test';
import { startDaemon } from '#test/helpers/daemon.ts';
import { needs } from '#test/helpers/needs.ts';
import { remains, soak } from './soak.ts';

const { describe, test } = needs('root', 'conmon', 'nft');

// `npm run soak` is the long form.
describe('a short soak', () => {
  test('loses nothing and leaves nothing, however often the daemon is killed', async () => {
    await using daemon = await startDaemon();
    const report = await soak(daemon, { containers: 70, clients: 4, lifeMs: [200, 2500], seed: 20_261_126, limitMs: 110_000 }).catch(
      async (err: unknown) => {
        throw new Error(`the soak failed\n${await daemon.log()}`, { cause: err });
      },
    );
    expect(report.kills).toBeGreaterThan(0);
    expect(await remains(daemon)).toEqual([]);
    expect(report.megabytes[1]).toBeLessThan(report.megabytes[0] + 20);
    expect(report.descriptors[1]).toBeLessThanOrEqual(report.descriptors[0] + 3);
    expect(report.databaseBytes).toBeLessThan(12 * 1024 * 1024);
  }, 120_000);
});
