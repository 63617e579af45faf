import type { Output } from '../output/terminal.ts';
import type { Display, StatusUpdate } from './status.ts';

/** Progress for programs: each update as a line of JSON, in the shape of BuildKit's SolveStatus. */
export class RawDisplay implements Display {
  readonly #out: Output;

  constructor(out: Output) {
    this.#out = out;
  }

  update({ vertexes, statuses, logs, warnings }: StatusUpdate): void {
    const status = {
      ...(vertexes !== undefined && {
        vertexes: vertexes.map(({ id, name, startedMs, completedMs, isCached, error }) => ({
          digest: id,
          name,
          ...(startedMs !== undefined && { started: time(startedMs) }),
          ...(completedMs !== undefined && { completed: time(completedMs) }),
          ...(isCached === true && { cached: true }),
          ...(error !== undefined && { error }),
        })),
      }),
      ...(statuses !== undefined && {
        statuses: statuses.map(({ id, vertex, text, current, total, startedMs, completedMs }) => ({
          id,
          vertex,
          name: text,
          ...(total > 0 && { total }),
          current,
          timestamp: time(completedMs ?? Date.now()),
          started: time(startedMs),
          ...(completedMs !== undefined && { completed: time(completedMs) }),
        })),
      }),
      ...(logs !== undefined && {
        logs: logs.map(({ vertex, stream, data, timeMs }) => ({
          vertex,
          stream,
          data: Buffer.from(data).toString('base64'),
          timestamp: time(timeMs),
        })),
      }),
      ...(warnings !== undefined && {
        warnings: warnings.map(({ vertex, text, url }) => ({ vertex, level: 1, short: Buffer.from(text).toString('base64'), url })),
      }),
    };
    this.#out.line(JSON.stringify(status));
  }

  finish(): void {
    // Each line stands for itself.
  }
}

const time = (milliseconds: number): string => new Date(milliseconds).toISOString();
