import { setTimeout as pause } from 'node:timers/promises';
import { kindOf } from '#base/errors.ts';
import { RegistryError } from '#core/registry.ts';
import { ConnectionError } from './registry-errors.ts';

export interface RetryPolicy {
  readonly attempts: number;
  /** Before the second attempt; doubled before each further one. */
  readonly firstPauseMs: number;
  /** The longest wait that a registry may ask for (Retry-After): a request that should come later than that fails at once. */
  readonly longestPauseMs?: number;
}

export const defaultRetry: RetryPolicy = { attempts: 5, firstPauseMs: 500 };
const defaultLongestPauseMs = 60_000;

/** Failures that may be gone a moment later: broken connections, overloaded registries. */
export function isTransient(err: unknown): boolean {
  const kind = kindOf(err);
  return kind === 'ResourceExhausted' || (kind === 'Unavailable' && !(err instanceof ConnectionError && err.isLasting));
}

/**
 * Waits before attempt number `failures + 1`, as long as the registry asks for if it does; a little more or less than others who failed at the same moment.
 * Rejects when the signal aborts, and with the failure itself when the registry asks for more than patience allows.
 */
export async function backOff(policy: RetryPolicy, failures: number, failure: unknown, signal: AbortSignal): Promise<void> {
  const asked = failure instanceof RegistryError ? (failure.retryAfterMs ?? 0) : 0;
  if (asked > (policy.longestPauseMs ?? defaultLongestPauseMs)) throw failure;
  const ours = policy.firstPauseMs * 2 ** (failures - 1) * (0.75 + Math.random() / 2);
  await pause(Math.max(ours, asked), undefined, { signal });
}

/** Runs an action that can be repeated as a whole. */
export async function retry<T>(policy: RetryPolicy, signal: AbortSignal, action: () => Promise<T>): Promise<T> {
  for (let failures = 1; ; failures += 1) {
    try {
      return await action();
    } catch (err) {
      if (failures >= policy.attempts || !isTransient(err)) throw err;
      await backOff(policy, failures, err, signal);
    }
  }
}
