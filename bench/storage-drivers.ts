/**
 * Measures Berth's storage drivers beside each other, with Debian's base image: each has a daemon of its own, btrfs on a loop device.
 *   npm run bench -- --storage [--rounds N]
 */
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { storageDrivers } from '../src/host/snapshots/drivers.ts';
import { baseImage } from '../scripts/base-images.ts';
import { create, waitForExit } from '../test/helpers/containers.ts';
import { startDaemon, type TestDaemon } from '../test/helpers/daemon.ts';
import { makeLoopFileSystem } from '../test/helpers/loop-file-system.ts';

const { values: options } = parseArgs({ options: { storage: { type: 'boolean' }, rounds: { type: 'string', default: '11' } } });
const rounds = Number(options.rounds);
process.env.BERTH_TEST_BINARY ??= 'dist/berth';

const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;

async function timed(action: () => Promise<unknown>): Promise<number> {
  const startedAt = performance.now();
  await action();
  return performance.now() - startedAt;
}

interface Times {
  readonly load: number;
  readonly create: number;
  readonly run: number;
  readonly remove: number;
  readonly diff: number;
}

/** In milliseconds. */
async function measure(daemon: TestDaemon): Promise<Times> {
  const archive = await baseImage('debian');
  const load = await timed(() => daemon.load(archive));
  const all: Record<'create' | 'run' | 'remove' | 'diff', number[]> = { create: [], run: [], remove: [], diff: [] };
  for (let round = 0; round < rounds; round += 1) {
    let id = '';
    const body = { Image: 'debian:12', Cmd: ['true'] };
    all.create.push(await timed(async () => (id = await create(daemon, body))));
    all.run.push(
      await timed(async () => {
        await daemon.api.expect('POST', `/containers/${id}/start`);
        await waitForExit(daemon, id);
      }),
    );
    all.diff.push(await timed(() => daemon.api.expect('GET', `/containers/${id}/changes`)));
    all.remove.push(await timed(() => daemon.api.expect('DELETE', `/containers/${id}`)));
  }
  return { load, create: median(all.create), run: median(all.run), diff: median(all.diff), remove: median(all.remove) };
}

const shown = (ms: number): string => `${ms.toFixed(ms < 100 ? 1 : 0)} ms`;
console.log('| driver | load the image | create | run `true` | diff | remove |\n|---|---|---|---|---|---|');
for (const driver of storageDrivers) {
  await using disk = driver === 'btrfs' ? await makeLoopFileSystem('btrfs', { sizeBytes: 2 ** 31 }) : undefined;
  await using daemon = await startDaemon({
    args: ['--storage-driver', driver],
    busybox: false,
    comparesMachine: false,
    ...(disk === undefined ? {} : { dataRoot: join(disk.path, 'data') }),
  });
  const { load, create: made, run, diff, remove } = await measure(daemon);
  console.log(`| ${driver} | ${[load, made, run, diff, remove].map(shown).join(' | ')} |`);
}
