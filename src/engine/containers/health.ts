import type { ContainerConfig, Health, ProbeResult } from './model.ts';

/** A health check with its defaults applied. */
export interface HealthCheck {
  readonly command: readonly string[];
  /** From the end of one probe to the start of the next, and before the first. */
  readonly intervalMs: number;
  /** The same while the container is starting. */
  readonly startIntervalMs: number;
  /** How long after its start failures do not count, until the first success. */
  readonly startPeriodMs: number;
  readonly timeoutMs: number;
  /** So many failures in a row make it unhealthy. */
  readonly retries: number;
}

const logEntries = 5;

/** Undefined when the container has none, has it switched off, or its kind is not known. */
export function healthCheckOf(config: ContainerConfig): HealthCheck | undefined {
  const { healthcheck } = config;
  const [kind, ...words] = healthcheck?.Test ?? [];
  if (healthcheck === undefined || (kind !== 'CMD' && kind !== 'CMD-SHELL')) return undefined;
  return {
    command: kind === 'CMD' ? words : [...(config.shell ?? ['/bin/sh', '-c']), ...words],
    intervalMs: milliseconds(healthcheck.Interval, 30_000),
    startIntervalMs: milliseconds(healthcheck.StartInterval, 5000),
    startPeriodMs: milliseconds(healthcheck.StartPeriod, 0),
    timeoutMs: milliseconds(healthcheck.Timeout, 30_000),
    retries: healthcheck.Retries === undefined || healthcheck.Retries <= 0 ? 3 : healthcheck.Retries,
  };
}

const milliseconds = (nanoseconds: number | undefined, byDefault: number): number =>
  nanoseconds === undefined || nanoseconds === 0 ? byDefault : nanoseconds / 1_000_000;

/** At the beginning of a run. */
export const startingHealth = (before: Health | undefined): Health => ({ status: 'starting', failingStreak: 0, log: before?.log ?? [] });

/** When nobody looks any more. */
export const unwatchedHealth = (before: Health): Health => ({ ...before, status: 'unhealthy' });

/** What one more probe makes of what was known. */
export function healthAfter(before: Health, result: ProbeResult, check: HealthCheck, startedAt: string): Health {
  const log = [...before.log, result].slice(-logEntries);
  if (result.exitCode === 0) return { status: 'healthy', failingStreak: 0, log };
  const isExcused = before.status === 'starting' && Date.parse(result.start) - Date.parse(startedAt) < check.startPeriodMs;
  if (isExcused) return { ...before, log };
  const failingStreak = before.failingStreak + 1;
  return { status: failingStreak >= check.retries ? 'unhealthy' : before.status, failingStreak, log };
}

/** How long to wait before the next probe, counted from now. */
export function pauseBeforeProbe({ status }: Health, check: HealthCheck, ranMs: number): number {
  return status === 'starting' && ranMs < check.startPeriodMs ? check.startIntervalMs : check.intervalMs;
}

/** `1m30s`, `1.5s`, `250ms`: a duration as clients know it from this message. */
export function durationText(ms: number): string {
  if (ms < 1000) return `${String(ms)}ms`;
  const hours = Math.floor(ms / 3_600_000);
  const minutes = Math.floor(ms / 60_000) % 60;
  const seconds = Number(((ms % 60_000) / 1000).toFixed(9));
  return `${hours > 0 ? `${String(hours)}h` : ''}${ms >= 60_000 ? `${String(minutes)}m` : ''}${String(seconds)}s`;
}
