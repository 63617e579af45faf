import { setTimeout as pause } from 'node:timers/promises';
import { kindOf } from '#base/errors.ts';
import { ConnectionError } from './registry-errors.ts';

export interface RetryPolicy {
  readonly attempts: number;
  /** Before the second attempt; doubled before each further one. */
  readonly firstPauseMs: number;
}

export const defaultRetry: RetryPolicy = { attempts: 5, firstPauseMs: 500 };

/** Failures that may be gone a moment later: broken connections, overloaded registries. */
export function isTransient(err: unknown): boolean {
  const kind = kindOf(err);
  return kind === 'ResourceExhausted' || (kind === 'Unavailable' && !(err instanceof ConnectionError && err.isLasting));
}

/** Waits before attempt number `failures + 1`. Rejects when the signal aborts. */
export async function backOff(policy: RetryPolicy, failures: number, signal: AbortSignal): Promise<void> {
  await pause(policy.firstPauseMs * 2 ** (failures - 1), undefined, { signal });
}

/** Runs an action that can be repeated as a whole. */
export async function retry<T>(policy: RetryPolicy, signal: AbortSignal, action: () => Promise<T>): Promise<T> {
  for (let failures = 1; ; failures += 1) {
    try {
      return await action();
    } catch (err) {
      if (failures >= policy.attempts || !isTransient(err)) throw err;
      await backOff(policy, failures, signal);
    }
  }
}
