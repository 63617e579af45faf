import type { Message } from './protobuf.ts';

/** What BuildKit says of a build under way. Times are milliseconds since 1970. */
export interface Trace {
  readonly vertexes: readonly {
    readonly id: string;
    readonly name: string;
    readonly isCached: boolean;
    readonly startedMs: number | undefined;
    readonly completedMs: number | undefined;
    readonly error: string;
  }[];
  readonly statuses: readonly {
    readonly id: string;
    readonly vertex: string;
    readonly name: string;
    readonly current: number;
    readonly total: number;
    readonly startedMs: number | undefined;
    readonly completedMs: number | undefined;
  }[];
  readonly logs: readonly { readonly vertex: string; readonly timeMs: number; readonly stream: number; readonly data: Uint8Array }[];
  readonly warnings: readonly { readonly vertex: string; readonly text: string; readonly url: string }[];
}

/** Reads a moby.buildkit.v1.StatusResponse. Rejects with DataLoss for one that is damaged. */
export function readTrace(status: Message): Trace {
  return {
    vertexes: status.messages(1).map(vertex => ({
      id: vertex.text(1),
      name: vertex.text(3),
      isCached: vertex.number(4) !== 0,
      startedMs: vertex.time(5),
      completedMs: vertex.time(6),
      error: vertex.text(7),
    })),
    statuses: status.messages(2).map(part => ({
      id: part.text(1),
      vertex: part.text(2),
      name: part.text(3),
      current: part.number(4),
      total: part.number(5),
      startedMs: part.time(7),
      completedMs: part.time(8),
    })),
    logs: status.messages(3).map(log => ({ vertex: log.text(1), timeMs: log.time(2) ?? 0, stream: log.number(3), data: log.bytes(4) })),
    warnings: status.messages(4).map(warning => ({ vertex: warning.text(1), text: warning.text(3), url: warning.text(5) })),
  };
}
