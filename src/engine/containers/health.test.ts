import { describe, expect, test } from 'bun:test';
import { durationText, type HealthCheck, healthAfter, healthCheckOf, pauseBeforeProbe, startingHealth } from './health.ts';
import type { Health } from './model.ts';
import { aConfig } from './test-values.ts';

const startedAt = '2026-01-02T03:04:05.000Z';
const result = (exitCode: number, afterMs = 1000) => {
  const start = new Date(Date.parse(startedAt) + afterMs).toISOString();
  return { start, end: start, exitCode, output: '' };
};
const check: HealthCheck = {
  command: ['true'],
  intervalMs: 30_000,
  startIntervalMs: 5000,
  startPeriodMs: 0,
  timeoutMs: 30_000,
  retries: 2,
};
const after = (before: Health, results: readonly ReturnType<typeof result>[], with_: HealthCheck = check): Health =>
  results.reduce((health, next) => healthAfter(health, next, with_, startedAt), before);

describe('healthCheckOf()', () => {
  test('defaults', () => {
    expect(healthCheckOf(aConfig({ healthcheck: { Test: ['CMD', 'curl', 'localhost'] } }))).toEqual({
      command: ['curl', 'localhost'],
      intervalMs: 30_000,
      startIntervalMs: 5000,
      startPeriodMs: 0,
      timeoutMs: 30_000,
      retries: 3,
    });
  });

  test('a shell command runs in the shell of the image', () => {
    const healthcheck = { Test: ['CMD-SHELL', 'exit 1'], Interval: 1_500_000_000, Retries: 1 };
    expect(healthCheckOf(aConfig({ healthcheck }))).toMatchObject({ command: ['/bin/sh', '-c', 'exit 1'], intervalMs: 1500, retries: 1 });
    expect(healthCheckOf(aConfig({ healthcheck, shell: ['bash', '-ec'] }))?.command).toEqual(['bash', '-ec', 'exit 1']);
  });

  test.each([[undefined], [{}], [{ Test: [] }], [{ Test: ['NONE'] }], [{ Test: ['SOMETHING', 'x'] }], [{ Interval: 1_000_000_000 }]])(
    '%p is no check',
    healthcheck => expect(healthCheckOf(aConfig({ healthcheck }))).toBeUndefined(),
  );
});

describe('healthAfter()', () => {
  test('the first success makes it healthy, so many failures in a row unhealthy', () => {
    const first = after(startingHealth(undefined), [result(1)]);
    expect(first).toMatchObject({ status: 'starting', failingStreak: 1 });
    expect(after(first, [result(2)])).toMatchObject({ status: 'unhealthy', failingStreak: 2 });
    expect(after(first, [result(0)])).toMatchObject({ status: 'healthy', failingStreak: 0 });
    expect(after(first, [result(0), result(-1)])).toMatchObject({ status: 'healthy', failingStreak: 1 });
    expect(after(first, [result(1), result(1), result(0)])).toMatchObject({ status: 'healthy', failingStreak: 0 });
  });

  test('failures of the start period do not count until it was healthy once', () => {
    const patient = { ...check, startPeriodMs: 10_000 };
    expect(after(startingHealth(undefined), [result(1), result(1), result(1)], patient)).toMatchObject({
      status: 'starting',
      failingStreak: 0,
    });
    expect(after(startingHealth(undefined), [result(1), result(1, 10_000), result(1, 10_001)], patient).status).toBe('unhealthy');
    expect(after(startingHealth(undefined), [result(0), result(1), result(1)], patient).status).toBe('unhealthy');
  });

  test('five entries are kept, also over a new start', () => {
    const health = after(
      startingHealth(undefined),
      [0, 1, 2, 3, 4, 5, 6].map(code => result(code)),
    );
    expect(health.log.map(({ exitCode }) => exitCode)).toEqual([2, 3, 4, 5, 6]);
    expect(startingHealth(health)).toEqual({ status: 'starting', failingStreak: 0, log: health.log });
  });
});

test('pauseBeforeProbe(): shorter while it starts', () => {
  const patient = { ...check, startPeriodMs: 60_000 };
  const starting = startingHealth(undefined);
  expect(pauseBeforeProbe(starting, check, 0)).toBe(30_000);
  expect(pauseBeforeProbe(starting, patient, 0)).toBe(5000);
  expect(pauseBeforeProbe(starting, patient, 60_000)).toBe(30_000);
  expect(pauseBeforeProbe({ ...starting, status: 'healthy' }, patient, 0)).toBe(30_000);
});

test.each([
  [250, '250ms'],
  [1000, '1s'],
  [1500, '1.5s'],
  [60_000, '1m0s'],
  [90_500, '1m30.5s'],
  [3_600_000, '1h0m0s'],
  [30_000, '30s'],
])('durationText(%p) is %p', (ms, text) => expect(durationText(ms)).toBe(text));
