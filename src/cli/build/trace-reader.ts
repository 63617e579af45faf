import type { Trace } from '#client/buildkit/trace.ts';
import type { FailedStep } from './classic-stream.ts';
import type { Display, StatusUpdate, VertexWarning } from './status.ts';

const keptLines = 10;

/** Shows what BuildKit says, and keeps what is needed when it fails. */
export class TraceReader {
  readonly #display: Display;
  readonly #steps = new Map<string, { name: string; startedMs: number; lines: string[] }>();
  #failed: string | undefined;
  readonly warnings: VertexWarning[] = [];

  constructor(display: Display) {
    this.#display = display;
  }

  /** The step that failed, as far as one did. */
  get failedStep(): FailedStep | undefined {
    const step = this.#failed === undefined ? undefined : this.#steps.get(this.#failed);
    return step === undefined ? undefined : { name: step.name, code: step.name.replace(/^\[[^\]]*\] /, ''), lines: step.lines };
  }

  read({ vertexes, statuses, logs, warnings }: Trace): void {
    for (const { id, name, error, startedMs } of vertexes) {
      const known = this.#steps.get(id);
      if (known === undefined) this.#steps.set(id, { name, startedMs: startedMs ?? Date.now(), lines: [] });
      // The first that fails is why the others are stopped.
      if (error !== '' && !error.endsWith('context canceled')) this.#failed ??= id;
    }
    for (const { vertex, data, timeMs } of logs) {
      const step = this.#steps.get(vertex);
      if (step === undefined) continue;
      const since = Math.max(0, (timeMs - step.startedMs) / 1000).toFixed(3);
      const lines = new TextDecoder()
        .decode(data)
        .split('\n')
        .filter(line => line !== '')
        .map(line => `${since} ${line}`);
      step.lines = [...step.lines, ...lines].slice(-keptLines);
    }
    this.warnings.push(...warnings);
    this.#display.update(toUpdate({ vertexes, statuses, logs, warnings }));
  }
}

function toUpdate({ vertexes, statuses, logs, warnings }: Trace): StatusUpdate {
  return {
    vertexes: vertexes.map(({ id, name, isCached, startedMs, completedMs, error }) => ({
      id,
      name,
      ...(isCached && { isCached }),
      ...(startedMs !== undefined && { startedMs }),
      ...(completedMs !== undefined && { completedMs }),
      ...(error !== '' && { error }),
    })),
    statuses: statuses.map(({ id, vertex, name, current, total, startedMs, completedMs }) => ({
      id,
      vertex,
      text: name === '' ? id : name,
      current,
      total,
      startedMs: startedMs ?? Date.now(),
      ...(completedMs !== undefined && { completedMs }),
    })),
    logs: logs.map(({ vertex, timeMs, stream, data }) => ({ vertex, timeMs, stream: stream === 2 ? 2 : 1, data })),
    ...(warnings.length > 0 && { warnings }),
  };
}
