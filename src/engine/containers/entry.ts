import type { OpenLog } from '#core/logs.ts';
import type { Exec } from './exec.ts';
import type { Container } from './model.ts';
import type { WaitResult } from './service.ts';
import type { StreamHub } from './stream-hub.ts';

/** A container in this daemon's memory: its record, and what concerns only this process. A stopped one holds no timer, watch or descriptor. */
export class Entry {
  readonly container: Container;
  /** Clients of the present run, or of the next while the container does not run. */
  hub: StreamHub | undefined;
  /** Execs that run or ended lately. */
  execs: Map<string, Exec> | undefined;
  /** Counts runs, so that a late message about one run is not taken for the next. */
  run = 0;
  /** Resolves when the present run's exit has been recorded. */
  exited: Promise<void> | undefined;
  /** Ends the pause before the next start by policy. */
  restartTimer: Disposable | undefined;
  restartDelayMs = 0;
  /** Aborts when its health is not watched any more. */
  healthWatch: AbortController | undefined;
  /** Takes what the present run writes. */
  log: OpenLog | undefined;
  /** Aborts with the container's files: ends whatever works on them. */
  readonly filesGone = new AbortController();
  removing = false;
  /** Its exit does not remove it although it is to go by itself: it is being restarted. */
  keepOnExit = false;
  #onExit: Set<(result: WaitResult) => void> | undefined;
  #onRemoved: Set<(result: WaitResult) => void> | undefined;

  constructor(container: Container) {
    this.container = container;
  }

  get id(): string {
    return this.container.id;
  }

  /** The result of the next exit (or of the removal, when that comes first), or of the removal. Abort to stop waiting. */
  next(what: 'exit' | 'removal', signal: AbortSignal): Promise<WaitResult> {
    const waiting = what === 'exit' ? (this.#onExit ??= new Set()) : (this.#onRemoved ??= new Set());
    return new Promise((resolve, reject) => {
      const leave = (): void => {
        waiting.delete(settle);
        reject(signal.reason as Error);
      };
      const settle = (result: WaitResult): void => {
        signal.removeEventListener('abort', leave);
        resolve(result);
      };
      if (signal.aborted) return leave();
      signal.addEventListener('abort', leave, { once: true });
      waiting.add(settle);
    });
  }

  announceExit(result: WaitResult): void {
    const waiting = this.#onExit;
    this.#onExit = undefined;
    for (const settle of waiting ?? []) settle(result);
  }

  announceRemoval(result: WaitResult): void {
    this.announceExit(result);
    const waiting = this.#onRemoved;
    this.#onRemoved = undefined;
    for (const settle of waiting ?? []) settle(result);
  }
}
