import { parseDuration } from '#base/duration.ts';
import { parseTimestamp } from '#base/timestamp.ts';
import type { HistoryRequest, UpdateHistoryRequest, WireBlob, WireRecord } from '#api/buildkit/history-messages.ts';
import type { StatusUpdate } from '#api/buildkit/messages.ts';
import type { BuildHistory } from '#builder/history/build-history.ts';
import type { BuildRecord, HistoryBlob, HistoryEvent } from '#builder/history/build-record.ts';
import { codec } from './codec.ts';
import { type Fields, parseFilters } from './filters.ts';
import { toTimestamp } from './progress.ts';

const kinds = { started: 0, complete: 1, deleted: 2 } as const satisfies Record<HistoryEvent['kind'], number>;

/** Tells of the builds that there are, and unless `EarlyExit` says otherwise of what happens to builds from then on. Rejects with InvalidArgument. */
export async function* listenHistory(
  history: BuildHistory,
  { ActiveOnly, Ref, EarlyExit, Filter, Limit }: HistoryRequest,
  signal: AbortSignal,
): AsyncGenerator<object, void, undefined> {
  const matches = parseFilters(Filter, readValue);
  const isMeant = (record: BuildRecord): boolean => (Ref === '' || record.ref === Ref) && matches(fieldsOf(record));
  const events: HistoryEvent[] = [];
  let wake: () => void = () => undefined;
  const onNews = (): void => wake();
  using _listening = history.listen(event => {
    events.push(event);
    onNews();
  });
  const there = history.list().filter(record => isMeant(record) && !(ActiveOnly && record.completedAt !== undefined));
  const newest = there.toSorted((a, b) => (a.createdAt < b.createdAt ? 1 : -1));
  for (const record of Limit > 0 ? newest.slice(0, Limit) : newest)
    yield toEvent({ kind: record.completedAt === undefined ? 'started' : 'complete', record });
  if (EarlyExit) return;
  signal.addEventListener('abort', onNews, { once: true });
  while (!signal.aborted) {
    const event = events.shift();
    if (event === undefined) {
      await new Promise<void>(resolve => {
        wake = resolve;
      });
    } else if (isMeant(event.record)) yield toEvent(event);
  }
}

/** Moments and durations, in milliseconds. */
function readValue(key: string, text: string): number {
  if (key !== 'duration') return parseTimestamp(text, Date.now());
  try {
    return Number(parseDuration(text)) / 1e6;
  } catch {
    return Number.NaN;
  }
}

function fieldsOf(record: BuildRecord): Fields {
  const { ref, options, createdAt, completedAt } = record;
  const started = Date.parse(createdAt);
  return {
    ref,
    status: statusOf(record),
    repository: options['vcs:source'] ?? options.context?.replace(/#.*$/, '') ?? '',
    startedAt: started,
    ...(completedAt !== undefined && { completedAt: Date.parse(completedAt), duration: Date.parse(completedAt) - started }),
  };
}

function statusOf({ completedAt, error }: BuildRecord): string {
  if (completedAt === undefined) return 'running';
  if (error === undefined) return 'completed';
  return error.code === canceled ? 'canceled' : 'error';
}

const canceled = 1;

/** Pins a record or lets go of it, or deletes it. Everything of a record is written when its build ends: there is nothing to be finalized. */
export async function updateHistory(history: BuildHistory, { Ref, Pinned, Delete, Finalize }: UpdateHistoryRequest): Promise<object> {
  if (Delete) await history.delete(Ref);
  else if (!Finalize) history.pin(Ref, Pinned);
  return {};
}

const toEvent = ({ kind, record }: HistoryEvent): object => ({ type: kinds[kind], record: toWire(record) });

function toWire(record: BuildRecord): WireRecord {
  const { documents, steps, createdAt, completedAt, error } = record;
  const results = Object.entries(documents.attestations).map(([platform, all]) => [platform, { Attestations: all.map(toBlob) }] as const);
  const only = results.find(([platform]) => platform === '')?.[1];
  return {
    Ref: record.ref,
    Frontend: record.frontend,
    FrontendAttrs: record.options,
    Exporters: record.exporters.map(({ type, attributes }) => ({ Type: type, Attrs: attributes })),
    CreatedAt: toTimestamp(Date.parse(createdAt)),
    ...(completedAt !== undefined && { CompletedAt: toTimestamp(Date.parse(completedAt)) }),
    ...(error !== undefined && { error: { ...error, details: [] } }),
    ExporterResponse: record.response,
    ...(documents.logs !== undefined && { logs: toBlob(documents.logs) }),
    ...(documents.trace !== undefined && { trace: toBlob(documents.trace) }),
    ...(documents.error !== undefined && { externalError: toBlob(documents.error) }),
    ...(only !== undefined && { Result: only }),
    Results: Object.fromEntries(results.filter(([platform]) => platform !== '')),
    Generation: record.generation,
    pinned: record.isPinned,
    numCachedSteps: steps.cached,
    numTotalSteps: steps.total,
    numCompletedSteps: steps.completed,
    numWarnings: steps.warnings,
  };
}

const toBlob = ({ mediaType, digest, sizeBytes, annotations }: HistoryBlob): WireBlob => ({
  media_type: mediaType,
  digest,
  size: sizeBytes,
  annotations,
});

export const logsMediaType = 'application/vnd.buildkit.status.v0';

const updates = codec<StatusUpdate>('moby.buildkit.v1.StatusResponse');
const lengthBytes = 4;

/** Everything that a build said, each message behind its length (32 bits, the low byte first). */
export function encodeLogs(all: readonly StatusUpdate[]): Uint8Array {
  return Buffer.concat(
    all.flatMap(update => {
      const bytes = updates.encode(update);
      const length = Buffer.alloc(lengthBytes);
      length.writeUInt32LE(bytes.length);
      return [length, bytes];
    }),
  );
}

export function* decodeLogs(bytes: Buffer): Generator<StatusUpdate> {
  for (let at = 0; at + lengthBytes <= bytes.length; ) {
    const end = at + lengthBytes + bytes.readUInt32LE(at);
    yield updates.decode(bytes.subarray(at + lengthBytes, end));
    at = end;
  }
}
