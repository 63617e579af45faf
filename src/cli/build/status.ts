/** What is told of a build while it goes on, in the shapes that BuildKit uses. Times are milliseconds since 1970. */
export interface StatusUpdate {
  readonly vertexes?: readonly Vertex[];
  readonly statuses?: readonly VertexStatus[];
  readonly logs?: readonly VertexLog[];
  readonly warnings?: readonly VertexWarning[];
}

/** A piece of work. Told of again when something about it changes. */
export interface Vertex {
  readonly id: string;
  readonly name: string;
  readonly startedMs?: number;
  readonly completedMs?: number;
  readonly isCached?: boolean;
  readonly error?: string;
}

/** How far a part of a vertex is: a layer that is fetched, a context that is sent. */
export interface VertexStatus {
  readonly id: string;
  readonly vertex: string;
  readonly text: string;
  readonly current: number;
  readonly total: number;
  readonly startedMs: number;
  readonly completedMs?: number;
}

export interface VertexLog {
  readonly vertex: string;
  readonly stream: 1 | 2;
  readonly data: Uint8Array;
  readonly timeMs: number;
}

export interface VertexWarning {
  readonly vertex: string;
  readonly text: string;
  readonly url: string;
}

/** Shows a build. `finish` is called once, after the last update. */
export interface Display {
  update(update: StatusUpdate): void;
  finish(): void;
}

/** `1.2s`, as progress shows how long something took. */
export const seconds = (milliseconds: number): string => `${(Math.max(0, milliseconds) / 1000).toFixed(1)}s`;

/** `1.2MB / 3MB`, or what is known of that. */
export function amount({ current, total }: Pick<VertexStatus, 'current' | 'total'>, size: (bytes: number) => string): string {
  if (total > 0) return `${size(current)} / ${size(total)}`;
  return current > 0 ? size(current) : '';
}
