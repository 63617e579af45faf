import { isDeepStrictEqual } from 'node:util';
import { messageOf } from '#base/errors.ts';
import type { SourceInfo, StatusUpdate, Timestamp, Vertex, VertexStatus, VertexWarning } from '#api/buildkit/messages.ts';
import { sha256 } from '#oci/digest.ts';

/** Messages of a stream stay below this: larger ones do not get through in one piece. */
const logPieceBytes = 16 * 1024;
/** What a step may say; all of it is kept until the build has ended. BuildKit's own limit. */
const logLimitBytes = 2 * 1024 * 1024;

/** What a build says of itself: kept for whoever asks late, told at once to whoever asks early. */
export class Progress {
  readonly #key: string;
  readonly #log: StatusUpdate[] = [];
  readonly #readers = new Set<() => void>();
  readonly #vertexes = new Map<string, Vertex>();
  #isEnded = false;

  /** `key`: what tells this build's vertexes from others'. */
  constructor(key: string) {
    this.#key = key;
  }

  /** A piece of work by its name; the same `id` is the same piece. */
  vertex(id: string, name: string): VertexProgress {
    return new VertexProgress(this, { digest: sha256(`${this.#key} ${id}`), name });
  }

  /** A node of a graph, which clients know by its digest. */
  node(digest: string, name: string, inputs: readonly string[]): VertexProgress {
    return new VertexProgress(this, { digest, name, inputs });
  }

  tell(update: StatusUpdate): void {
    if (this.#isEnded) return;
    for (const vertex of update.vertexes ?? []) this.#vertexes.set(vertex.digest, vertex);
    this.#log.push(update);
    for (const wake of this.#readers) wake();
  }

  /** Nothing more is said; what is still under way has been given up. */
  end(): void {
    for (const vertex of this.#vertexes.values()) {
      if (vertex.started !== undefined && vertex.completed === undefined)
        this.tell({ vertexes: [{ ...vertex, completed: now(), error: 'context canceled' }] });
    }
    this.#isEnded = true;
    for (const wake of this.#readers) wake();
  }

  /** Everything from the beginning on. */
  async *updates(signal: AbortSignal): AsyncGenerator<StatusUpdate, void, undefined> {
    let wake: () => void = () => undefined;
    const onNews = (): void => wake();
    this.#readers.add(onNews);
    signal.addEventListener('abort', onNews, { once: true });
    try {
      for (let at = 0; !signal.aborted; ) {
        const update = this.#log[at];
        if (update !== undefined) {
          at += 1;
          yield update;
        } else if (this.#isEnded) return;
        else {
          await new Promise<void>(resolve => {
            wake = resolve;
          });
        }
      }
    } finally {
      this.#readers.delete(onNews);
      signal.removeEventListener('abort', onNews);
    }
  }

  /** Everything that has been said so far. */
  said(): readonly StatusUpdate[] {
    return this.#log;
  }

  /** How each piece of work is. */
  vertexes(): Vertex[] {
    return [...this.#vertexes.values()];
  }

  counts(): { readonly total: number; readonly completed: number; readonly cached: number; readonly warnings: number } {
    const vertexes = [...this.#vertexes.values()];
    return {
      total: vertexes.length,
      completed: vertexes.filter(vertex => vertex.completed !== undefined).length,
      cached: vertexes.filter(vertex => vertex.cached === true).length,
      warnings: this.#log.reduce((sum, update) => sum + (update.warnings?.length ?? 0), 0),
    };
  }
}

/** One piece of work of a build. */
export class VertexProgress {
  readonly digest: string;
  readonly #progress: Progress;
  #vertex: Vertex;
  readonly #parts = new Map<string, VertexStatus>();
  #saidBytes = 0;

  constructor(progress: Progress, vertex: Vertex) {
    this.#progress = progress;
    this.digest = vertex.digest;
    this.#vertex = vertex;
  }

  get isStarted(): boolean {
    return this.#vertex.started !== undefined;
  }

  start(): void {
    this.#change({ started: now() });
  }

  finish({ isCached = false }: { readonly isCached?: boolean } = {}): void {
    const at = now();
    for (const part of this.#parts.values()) if (part.completed === undefined) this.#tellPart({ ...part, completed: at, timestamp: at });
    this.#change({ ...(this.isStarted ? {} : { started: at }), completed: at, cached: isCached });
  }

  fail(err: unknown): void {
    const at = now();
    this.#change({ ...(this.isStarted ? {} : { started: at }), completed: at, error: messageOf(err) });
  }

  /** Does the work of this piece, telling when it begins and how it ends. */
  async run<T>(work: () => Promise<T>): Promise<T> {
    this.start();
    try {
      const result = await work();
      this.finish();
      return result;
    } catch (err) {
      this.fail(err);
      throw err;
    }
  }

  /** How far a part is. */
  part(
    id: string,
    { current = 0, total = 0, isDone = false }: { readonly current?: number; readonly total?: number; readonly isDone?: boolean },
  ): void {
    const at = now();
    const known = this.#parts.get(id);
    if (known?.completed !== undefined) return;
    const part: VertexStatus = {
      ID: id,
      vertex: this.digest,
      current,
      total,
      timestamp: at,
      started: known?.started ?? at,
      ...(isDone && { completed: at }),
    };
    if (known !== undefined && isDeepStrictEqual({ ...known, timestamp: at }, part)) return;
    this.#tellPart(part);
  }

  output(stream: 'stdout' | 'stderr', bytes: Uint8Array): void {
    if (this.#saidBytes > logLimitBytes) return;
    this.#saidBytes += bytes.length;
    const isOver = this.#saidBytes > logLimitBytes;
    const kept = isOver ? bytes.subarray(0, Math.max(0, bytes.length - (this.#saidBytes - logLimitBytes))) : bytes;
    for (let at = 0; at < kept.length; at += logPieceBytes) this.#log(stream, kept.subarray(at, at + logPieceBytes));
    if (isOver) this.#log(stream, new TextEncoder().encode('\n[output clipped, log limit 2MiB reached]\n'));
  }

  #log(stream: 'stdout' | 'stderr', msg: Uint8Array): void {
    this.#progress.tell({ logs: [{ vertex: this.digest, timestamp: now(), stream: stream === 'stdout' ? 1 : 2, msg }] });
  }

  warn(warning: Omit<VertexWarning, 'vertex' | 'short'> & { readonly text: string; readonly info?: SourceInfo }): void {
    const { text, ...rest } = warning;
    this.#progress.tell({ warnings: [{ vertex: this.digest, level: 1, short: new TextEncoder().encode(text), ...rest }] });
  }

  #tellPart(part: VertexStatus): void {
    this.#parts.set(part.ID, part);
    this.#progress.tell({ statuses: [part] });
  }

  #change(change: Partial<Vertex>): void {
    this.#vertex = { ...this.#vertex, ...change };
    this.#progress.tell({ vertexes: [this.#vertex] });
  }
}

/** How a part of an image that is pulled comes here. */
export function pullSteps(
  vertex: VertexProgress,
  { id, status, current, total }: { readonly id?: string; readonly status?: string; readonly current?: number; readonly total?: number },
): void {
  if (id === undefined || status === undefined) return;
  const isDone = /^(Pull complete|Download complete|Already exists)$/.test(status);
  const isExtracted = status === 'Extracting' || status === 'Pull complete';
  vertex.part(`${isExtracted ? 'extracting ' : ''}${id}`, {
    ...(current !== undefined && { current }),
    ...(total !== undefined && { total }),
    isDone,
  });
}

export const now = (): Timestamp => toTimestamp(Date.now());

export const toTimestamp = (milliseconds: number): Timestamp => ({
  seconds: Math.floor(milliseconds / 1000),
  nanos: Math.round((milliseconds % 1000) * 1e6),
});
