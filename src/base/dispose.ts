import type { Logger } from './log.ts';

const cleanupMs = 10_000;

/**
 * Runs a cleanup step with a fresh deadline of ten seconds: it must happen even when the caller has gone. A failure is logged, never thrown,
 * so that it cannot hide what is being cleaned up after.
 */
export async function cleanUp(what: string, log: Logger, step: (signal: AbortSignal) => Promise<unknown> | unknown): Promise<void> {
  try {
    await step(AbortSignal.timeout(cleanupMs));
  } catch (err) {
    log.warn('cleanup failed', { what, error: err });
  }
}

/** Runs every step, the last first, also when some fail, and then reports all failures as one AggregateError. */
export async function undoAll(message: string, steps: readonly (() => Promise<unknown> | unknown)[]): Promise<void> {
  const failures: unknown[] = [];
  for (const step of steps.toReversed()) {
    try {
      await step();
    } catch (err) {
      failures.push(err);
    }
  }
  if (failures.length > 0) throw new AggregateError(failures, message);
}
