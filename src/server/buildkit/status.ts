import { type ErrorKind, kindOf, messageOf } from '#base/errors.ts';
import { DockerfileError, type Range, type Source } from '#builder/dockerfile/source.ts';
import type { Any, SourceRange, Status } from '#api/buildkit/messages.ts';
import { codec } from './codec.ts';

/**
 * gRPC's code for each kind of error: the only place that chooses one. Clients put the name of every code but `unknown` before the sentence, so that codes
 * are for what clients act on.
 */
const unknown = 2;
const codes = {
  InvalidArgument: unknown,
  Unauthenticated: unknown,
  PermissionDenied: unknown,
  NotFound: unknown,
  AlreadyExists: unknown,
  Conflict: unknown,
  NotModified: unknown,
  FailedPrecondition: unknown,
  ResourceExhausted: unknown,
  NotImplemented: 12,
  Unavailable: unknown,
  Canceled: 1,
  DeadlineExceeded: 4,
  DataLoss: unknown,
  Internal: unknown,
} as const satisfies Record<ErrorKind, number>;

/** An error that came from a client and goes back as it came. */
export class ForwardedError extends Error {
  readonly status: Status;

  constructor(status: Status) {
    super(status.message);
    this.status = status;
  }
}

/** An error of a piece of work, and where in the Dockerfile that stands if there is one. */
export class StepError extends Error {
  /** The digest of the piece of work. */
  readonly vertex: string | undefined;
  readonly place: { readonly range: Range; readonly source: Source } | undefined;

  constructor(cause: unknown, vertex: string | undefined, place?: StepError['place']) {
    super(messageOf(cause), { cause });
    this.vertex = vertex;
    this.place = place;
  }
}

export function statusOf(err: unknown): Status {
  if (err instanceof ForwardedError) return err.status;
  const place = placeOf(err);
  const message = err instanceof DockerfileError ? err.reason : messageOf(err);
  const vertex = err instanceof StepError ? err.vertex : undefined;
  const details = [
    ...(vertex === undefined ? [] : [detail('Vertex', { digest: vertex })]),
    ...(place === undefined ? [] : [sourceDetail(place.source, place.range)]),
  ];
  return { code: codes[kindOf(err)], message, details };
}

function placeOf(err: unknown): { readonly range: Range; readonly source: Source } | undefined {
  if (err instanceof StepError) return err.place;
  if (err instanceof DockerfileError && err.range !== undefined && err.source !== undefined)
    return { range: err.range, source: err.source };
  return undefined;
}

/** Unlike everything else, details are JSON. */
const detail = (type: 'Source' | 'Vertex', value: object): Any => ({
  type_url: `github.com/moby/buildkit/errdefs.${type}+json`,
  value: new TextEncoder().encode(JSON.stringify(value)),
});

/** Clients show the lines that this names. */
function sourceDetail(source: Source, range: Range): Any {
  return detail('Source', {
    info: { filename: source.name, data: Buffer.from(source.text).toString('base64'), language: 'Dockerfile' },
    ranges: [toSourceRange(range)],
  });
}

export const toSourceRange = ({ start, end }: Range): SourceRange => ({
  start: { line: start.line, character: start.column - 1 },
  end: { line: end.column === 1 && end.line > start.line ? end.line - 1 : end.line, character: end.column - 1 },
});

const statusCodec = codec<Status>('google.rpc.Status');

export const encodeStatus = (status: Status): Buffer => statusCodec.encode(status);
