import { constants } from 'node:os';

export interface Stop extends Disposable {
  readonly signal: AbortSignal;
  /** What a process that ended by the signal would have ended with. */
  readonly exitCode: number;
}

const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** Aborts when somebody wants this process to end; a second time it ends at once. */
export function stopOnSignals(): Stop {
  const controller = new AbortController();
  let exitCode = 1;
  const handlers = signals.map(name => {
    const handler = (): void => {
      exitCode = 128 + constants.signals[name];
      if (controller.signal.aborted) process.exit(exitCode);
      controller.abort(new DOMException('canceled', 'AbortError'));
    };
    process.on(name, handler);
    return [name, handler] as const;
  });
  return {
    signal: controller.signal,
    get exitCode() {
      return exitCode;
    },
    [Symbol.dispose]() {
      for (const [name, handler] of handlers) process.off(name, handler);
    },
  };
}
