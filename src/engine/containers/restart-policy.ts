import type { RestartPolicy } from './model.ts';

const firstDelayMs = 100;
const longestDelayMs = 60_000;
const goodRunMs = 10_000;

export interface EndedRun {
  readonly policy: RestartPolicy;
  readonly exitCode: number;
  readonly manuallyStopped: boolean;
  /** How often policy has started it since a person did. */
  readonly restartCount: number;
  readonly ranMs: number;
  /** The pause before the run that ended; 0: there was none. */
  readonly previousDelayMs: number;
}

/** How long to wait before the container starts again; undefined: it stays down. A run of ten seconds counts as a success and resets the pauses. */
export function restartDelay(run: EndedRun): number | undefined {
  if (run.manuallyStopped || !wantsRestart(run)) return undefined;
  if (run.previousDelayMs === 0 || run.ranMs >= goodRunMs) return firstDelayMs;
  return Math.min(run.previousDelayMs * 2, longestDelayMs);
}

function wantsRestart({ policy, exitCode, restartCount }: EndedRun): boolean {
  switch (policy.name) {
    case 'no':
      return false;
    case 'always':
    case 'unless-stopped':
      return true;
    case 'on-failure':
      return exitCode !== 0 && (policy.maximumRetryCount === 0 || restartCount < policy.maximumRetryCount);
  }
}

/** Whether a container that is down starts together with the daemon. */
export function startsWithDaemon(run: Pick<EndedRun, 'policy' | 'exitCode' | 'manuallyStopped' | 'restartCount'>): boolean {
  if (run.policy.name === 'always') return true;
  return !run.manuallyStopped && wantsRestart({ ...run, ranMs: 0, previousDelayMs: 0 });
}
