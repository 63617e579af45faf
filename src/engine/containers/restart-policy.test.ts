import { describe, expect, test } from 'bun:test';
import type { RestartPolicyName } from './model.ts';
import { type EndedRun, restartDelay, startsWithDaemon } from './restart-policy.ts';

const run = (name: RestartPolicyName, more: Partial<EndedRun> = {}, maximumRetryCount = 0): EndedRun => ({
  policy: { name, maximumRetryCount },
  exitCode: 1,
  manuallyStopped: false,
  restartCount: 0,
  ranMs: 100,
  previousDelayMs: 0,
  ...more,
});

describe('restartDelay()', () => {
  test('whether it starts again', () => {
    expect(restartDelay(run('no'))).toBeUndefined();
    expect(restartDelay(run('always', { exitCode: 0 }))).toBe(100);
    expect(restartDelay(run('unless-stopped', { exitCode: 0 }))).toBe(100);
    expect(restartDelay(run('on-failure'))).toBe(100);
    expect(restartDelay(run('on-failure', { exitCode: 0 }))).toBeUndefined();
    expect(restartDelay(run('on-failure', { restartCount: 2 }, 3))).toBe(100);
    expect(restartDelay(run('on-failure', { restartCount: 3 }, 3))).toBeUndefined();
    for (const name of ['always', 'unless-stopped', 'on-failure'] as const)
      expect(restartDelay(run(name, { manuallyStopped: true }))).toBeUndefined();
  });

  test('pauses double up to a minute; ten seconds of running begin anew', () => {
    const delays: (number | undefined)[] = [];
    let previousDelayMs = 0;
    for (let count = 0; count < 12; count += 1) {
      const delay = restartDelay(run('always', { previousDelayMs }));
      delays.push(delay);
      previousDelayMs = delay ?? 0;
    }
    expect(delays).toEqual([100, 200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 51_200, 60_000, 60_000]);
    expect(restartDelay(run('always', { previousDelayMs: 60_000, ranMs: 10_000 }))).toBe(100);
  });
});

test('startsWithDaemon(): always in any case, the rest unless somebody stopped it', () => {
  expect(startsWithDaemon(run('always', { manuallyStopped: true }))).toBe(true);
  expect(startsWithDaemon(run('unless-stopped'))).toBe(true);
  expect(startsWithDaemon(run('unless-stopped', { manuallyStopped: true }))).toBe(false);
  expect(startsWithDaemon(run('on-failure'))).toBe(true);
  expect(startsWithDaemon(run('on-failure', { exitCode: 0 }))).toBe(false);
  expect(startsWithDaemon(run('no'))).toBe(false);
});
