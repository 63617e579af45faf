import { readFileSync } from 'node:fs';
import { expect } from 'bun:test';
import { execIn, outputOf, sharedDaemon, start, remove, waiting } from '#test/helpers/containers.ts';
import { eventually } from '#test/helpers/eventually.ts';
import { openFds } from '#test/helpers/machine.ts';
import { needs } from '#test/helpers/needs.ts';

const { describe, test } = needs('root', 'conmon', 'nft');
const rounds = 200;

describe('a daemon that runs for long', () => {
  const daemon = sharedDaemon();
  const megabytes = (): number => {
    const kib = /^Pss_Anon:\s+(\d+)/m.exec(readFileSync(`/proc/${String(daemon().pid)}/smaps_rollup`, 'utf8'))?.[1];
    return Number(kib) / 1024;
  };
  const threads = (): number => Number(/^Threads:\s+(\d+)/m.exec(readFileSync(`/proc/${String(daemon().pid)}/status`, 'utf8'))?.[1]);

  test(`needs no more descriptors, threads or memory after ${String(rounds)} containers and commands`, async () => {
    const round = async (i: number): Promise<void> => {
      expect(await outputOf(daemon(), `echo ${String(i)}`)).toBe(String(i));
    };
    const long = await start(daemon(), waiting());
    // What is made once, by the first of each kind, is no leak.
    for (let i = 0; i < 40; i += 1) await Promise.all([round(i), execIn(daemon(), long, ['true'])]);
    const before = { fds: openFds(daemon().pid), threads: threads(), megabytes: megabytes() };
    for (let i = 0; i < rounds; i += 4)
      await Promise.all([round(i), round(i + 1), round(i + 2), round(i + 3), execIn(daemon(), long, ['true'])]);
    await eventually('as many descriptors as before', () => {
      const now = openFds(daemon().pid);
      if (now.length > before.fds.length + 3)
        throw new Error(`${String(before.fds.length)} before, ${String(now.length)} now:\n${now.join('\n')}`);
      return true;
    });
    expect(threads()).toBeLessThanOrEqual(before.threads + 4);
    // Every container has logs, records and events of its own: one that kept 100 KB of each would show. Garbage goes when the daemon is idle.
    await eventually(
      'as much memory as before',
      () => {
        const grownBy = megabytes() - before.megabytes;
        if (grownBy >= 20) throw new Error(`${grownBy.toFixed(1)} MB more than before`);
        return true;
      },
      { timeoutMs: 15_000, everyMs: 500 },
    );
    await remove(daemon(), long);
  }, 120_000);
});
