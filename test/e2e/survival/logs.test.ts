import { readdirSync, statSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'bun:test';
import { create, inspect, logsOf, remove, sh, waitForExit } from '#test/helpers/containers.ts';
import { startDaemon, type TestDaemon } from '#test/helpers/daemon.ts';
import { eventually } from '#test/helpers/eventually.ts';
import { FluentdReceiver } from '#test/helpers/log-receivers.ts';
import { needs } from '#test/helpers/needs.ts';

const { describe, test } = needs('root', 'conmon', 'nft');

const lines = 4000;
/** Says numbers, a hundred at a time, until they are said; ends when it is told to. */
const talker = `i=0; while [ $i -lt ${String(lines)} ]; do echo $i; i=$((i+1)); [ $((i%100)) = 0 ] && usleep 30000; done; while [ ! -e /signals/end ]; do usleep 20000; done`;
const allLines = Array.from({ length: lines }, (_, at) => String(at));

/** Starts a talker under a daemon that dies at a failpoint, and brings the daemon back while the talker still talks. */
async function talkThroughDeath(
  daemon: TestDaemon,
  signals: string,
  failpoint: string,
  log: { readonly Type: string; readonly Config: Readonly<Record<string, string>> },
): Promise<string> {
  const id = await create(daemon, sh(talker, { HostConfig: { LogConfig: log, Binds: [`${signals}:/signals`] } }));
  await daemon.stop();
  daemon.spawn({ BERTH_FAILPOINT: failpoint });
  await eventually('the talker was started, or the daemon has died', async () => {
    if (!daemon.isRunning) return true;
    return (await daemon.api.post(`/containers/${id}/start`).catch(() => undefined))?.status === 204;
  });
  await eventually(`the daemon dies at ${failpoint}`, () => !daemon.isRunning);
  await daemon.start();
  expect((await inspect(daemon, id)).State.Running).toBe(true);
  await Bun.write(join(signals, 'end'), '');
  await waitForExit(daemon, id);
  return id;
}

async function withSignals(action: (folder: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp('/tmp/berth-w-');
  try {
    await action(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

describe('logs of a daemon that is killed', () => {
  test.each([
    'log.pass.flushed',
    'log.pass.flushed@5',
    'log.pass.recorded@5',
    'log.file.prepared@3',
    'log.file.moved@3',
    'log.file.compressed@3',
  ])('json-file: every line once, after death at %s', async failpoint => {
    await withSignals(async signals => {
      await using daemon = await startDaemon();
      const Config = { 'max-size': '10k', 'max-file': '100', compress: 'true' };
      const id = await talkThroughDeath(daemon, signals, failpoint, { Type: 'json-file', Config });
      expect((await logsOf(daemon, id)).stdout.split('\n').slice(0, -1)).toEqual(allLines);
      const folder = join(daemon.dataRoot, 'containers', id);
      const sizes = readdirSync(folder)
        .filter(name => /json\.log(\.\d+)?$/.test(name))
        .map(name => statSync(join(folder, name)).size);
      expect(Math.max(...sizes)).toBeLessThan(10_100);
      await remove(daemon, id);
    });
  });

  test.each(['log.pass.flushed@5', 'log.pass.recorded@5'])(
    'a receiver gets every line, few of them twice, after death at %s',
    async failpoint => {
      await withSignals(async signals => {
        await using receiver = new FluentdReceiver();
        await receiver.start();
        await using daemon = await startDaemon();
        const Config = { 'fluentd-address': `127.0.0.1:${String(receiver.port)}` };
        const id = await talkThroughDeath(daemon, signals, failpoint, { Type: 'fluentd', Config });
        const said = (): string[] => receiver.events.map(({ record }) => record.log ?? '');
        await eventually('every line', () => new Set(said()).size === lines);
        expect([...new Set(said())]).toEqual(allLines);
        // The batch that was sent and not yet recorded, 32 KiB of a capture with 45 bytes before each line.
        const most = failpoint.startsWith('log.pass.flushed') ? (32 * 1024) / 45 : 0;
        expect(said().length - lines).toBeLessThanOrEqual(most);
        await remove(daemon, id);
      });
    },
  );

  test('what a container writes while there is no daemon is bounded, and within the limits again at the next start', async () => {
    await withSignals(async signals => {
      await using daemon = await startDaemon();
      const wait = 'while [ ! -e /signals/go ]; do usleep 20000; done';
      const flood =
        'head -c 60000000 /dev/zero | tr "\\0" x | fold -w 999; echo; touch /signals/said; while [ ! -e /signals/end ]; do usleep 20000; done';
      const body = (Type: string) =>
        sh(`${wait}; ${flood}`, {
          HostConfig: { LogConfig: { Type, Config: { 'max-size': '1m', 'max-file': '3' } }, Binds: [`${signals}:/signals`] },
        });
      const ids: string[] = [];
      for (const type of ['json-file', 'local']) {
        const id = await create(daemon, body(type));
        await daemon.api.expect('POST', `/containers/${id}/start`);
        ids.push(id);
        await daemon.kill();
        await Bun.write(join(signals, 'go'), '');
        await eventually('it has said all', () => readdirSync(signals).includes('said'), { timeoutMs: 60_000 });
        const folder = join(daemon.dataRoot, 'containers', id);
        // One file up to 16 MB, and the one that there was when the daemon ended.
        expect(bytesBelow(folder)).toBeLessThan(33_000_000);
        await daemon.start();
        await eventually('the limits hold', () => bytesBelow(folder) < 5_000_000);
        const { stdout } = await logsOf(daemon, id, '&tail=5');
        expect(stdout.replace(/[x\n]/g, '')).toBe('');
        await Bun.write(join(signals, 'end'), '');
        await waitForExit(daemon, id);
        for (const name of ['go', 'said', 'end']) await rm(join(signals, name));
      }
      for (const id of ids) await remove(daemon, id);
    });
  });
});

function bytesBelow(folder: string): number {
  const inodes = new Map<number, number>();
  for (const name of readdirSync(folder, { recursive: true })) {
    const facts = statSync(join(folder, String(name)), { throwIfNoEntry: false });
    if (facts?.isFile() === true) inodes.set(facts.ino, facts.size);
  }
  return [...inodes.values()].reduce((sum, size) => sum + size, 0);
}
