import { failpoint } from '#base/failpoint.ts';
import { type Context, publish } from './context.ts';
import type { Entry } from './entry.ts';
import { healthAfter, type HealthCheck, healthCheckOf, pauseBeforeProbe, unwatchedHealth } from './health.ts';
import { runProbe } from './health-probe.ts';
import type { ProbeResult } from './model.ts';
import { isPaused, isRunning, startedAtOf } from './state.ts';

//   launch, adopt, unpause ── watchHealth ──▶ agenda ──▶ probe ──▶ recordProbe ──▶ agenda …
//   pause, exit ───────────── unwatchHealth: nothing is planned, and what a probe still finds does not count

/** Probes the container from now on, while it runs and is not paused. One without a health check costs nothing. */
export function watchHealth(ctx: Context, entry: Entry): void {
  const check = healthCheckOf(entry.container.config);
  if (check === undefined || !isRunning(entry.container.state) || isPaused(entry.container.state)) return;
  entry.healthWatch?.abort(new Error('the container is watched anew'));
  entry.healthWatch = new AbortController();
  planProbe(ctx, entry, check, entry.healthWatch.signal, sinceLastProbe(entry));
}

/** Lets go of a container that ends or is paused; the caller writes its record. */
export function unwatchHealth(ctx: Context, entry: Entry): void {
  ctx.agenda.cancel(entry.id);
  entry.healthWatch?.abort(new Error('the container has ended or is paused'));
  entry.healthWatch = undefined;
  const { health } = entry.container;
  if (health !== undefined) entry.container.health = unwatchedHealth(health);
}

/** How much of the pause before the next probe is over: none, unless an earlier daemon began it. */
function sinceLastProbe({ container }: Entry): number {
  const last = container.health?.log.at(-1);
  if (last === undefined || container.health?.status === 'starting' || last.start < startedAtOf(container.state)) return 0;
  return Math.max(0, Date.now() - Date.parse(last.end));
}

function planProbe(ctx: Context, entry: Entry, check: HealthCheck, watch: AbortSignal, overMs = 0): void {
  const { health, state } = entry.container;
  if (health === undefined) return;
  const pauseMs = pauseBeforeProbe(health, check, Date.now() - Date.parse(startedAtOf(state)));
  ctx.agenda.plan(entry.id, Math.max(0, pauseMs - overMs), () => {
    probe(ctx, entry, check, watch).catch((err: unknown) =>
      ctx.log.error('a health check could not be recorded', { container: entry.id, error: err }),
    );
  });
}

async function probe(ctx: Context, entry: Entry, check: HealthCheck, watch: AbortSignal): Promise<void> {
  const result = await runProbe(ctx, entry, check, watch);
  if (watch.aborted || ctx.closing.signal.aborted) return;
  try {
    recordProbe(ctx, entry, check, result);
  } finally {
    planProbe(ctx, entry, check, watch);
  }
}

/** Only news is written down: a container that stays well costs the disk nothing. The rest goes with the next change of the record. */
function recordProbe(ctx: Context, entry: Entry, check: HealthCheck, result: ProbeResult): void {
  const { container } = entry;
  const before = container.health;
  if (before === undefined) return;
  const health = healthAfter(before, result, check, startedAtOf(container.state));
  container.health = health;
  failpoint('container.health.probed');
  const isNews = health.status !== before.status;
  if (isNews || health.failingStreak !== before.failingStreak) ctx.containers.save(entry);
  failpoint('container.health.recorded');
  if (isNews) publish(ctx, container, `health_status: ${health.status}`);
}
