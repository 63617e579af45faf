import type { Timestamp, Vertex } from '#api/buildkit/messages.ts';
import { encodedOf, sha256 } from '#oci/digest.ts';

export const traceMediaType = 'application/vnd.buildkit.otlp.json.v0';

/** What a build's trace begins with. */
export interface TracedBuild {
  readonly ref: string;
  readonly startedMs: number;
  readonly endedMs: number;
  /** What was wrong; empty: nothing. */
  readonly error: string;
  readonly version: string;
}

/** When what happened in a build, as spans of OpenTelemetry: the build, and in it each piece of work that was begun. One JSON document a line. */
export function traceOf(build: TracedBuild, vertexes: readonly Vertex[]): Uint8Array {
  const traceId = encodedOf(sha256(build.ref)).slice(0, 32);
  const rootId = encodedOf(sha256(`span of ${build.ref}`)).slice(0, 16);
  const begun = vertexes.filter(({ started }) => started !== undefined);
  const end = nanosOf(build.endedMs);
  const root = {
    name: 'build',
    spanId: rootId,
    parent: undefined,
    start: nanosOf(build.startedMs),
    end,
    error: build.error,
    attributes: { 'build.ref': build.ref },
    children: begun.length,
  };
  const spans = begun.map(({ digest, name, started, completed, cached, error }) => ({
    name,
    spanId: encodedOf(digest as never).slice(0, 16),
    parent: rootId,
    start: toNanos(started) ?? end,
    end: toNanos(completed) ?? end,
    error: error ?? '',
    attributes: { vertex: digest, ...(cached === true && { cached: 'true' }) },
    children: 0,
  }));
  return new TextEncoder().encode([root, ...spans].map(span => `${JSON.stringify(toStub(span, traceId, build.version))}\n`).join(''));
}

interface Span {
  readonly name: string;
  readonly spanId: string;
  readonly parent: string | undefined;
  readonly start: bigint;
  readonly end: bigint;
  readonly error: string;
  readonly attributes: Readonly<Record<string, string>>;
  readonly children: number;
}

const noId = '0'.repeat(16);

const internalWork = 1;

function toStub({ name, spanId, parent, start, end, error, attributes, children }: Span, traceId: string, version: string): object {
  const context = (id: string): object => ({ TraceID: traceId, SpanID: id, TraceFlags: '01', TraceState: '', Remote: false });
  return {
    Name: name,
    SpanContext: context(spanId),
    Parent: parent === undefined ? { ...context(noId), TraceID: noId.repeat(2), TraceFlags: '00' } : context(parent),
    SpanKind: internalWork,
    StartTime: rfc3339(start),
    EndTime: rfc3339(end),
    Attributes: keyValues(attributes),
    Events: null,
    Links: null,
    Status: { Code: error === '' ? 'Unset' : 'Error', Description: error },
    DroppedAttributes: 0,
    DroppedEvents: 0,
    DroppedLinks: 0,
    ChildSpanCount: children,
    Resource: keyValues({ 'service.name': 'berth', 'service.version': version }),
    InstrumentationLibrary: { Name: 'berth', Version: version, SchemaURL: '' },
  };
}

const keyValues = (attributes: Readonly<Record<string, string>>): object[] =>
  Object.entries(attributes).map(([Key, text]) => ({ Key, Value: { Type: 'STRING', Value: text } }));

const second = 1_000_000_000n;

const nanosOf = (milliseconds: number): bigint => BigInt(Math.round(milliseconds)) * 1_000_000n;

const toNanos = (time: Timestamp | undefined): bigint | undefined =>
  time === undefined ? undefined : BigInt(time.seconds) * second + BigInt(time.nanos);

const rfc3339 = (nanos: bigint): string =>
  new Date(Number(nanos / 1_000_000n)).toISOString().replace(/\.\d+Z$/, `.${String(nanos % second).padStart(9, '0')}Z`);
