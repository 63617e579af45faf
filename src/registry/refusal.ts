import { EngineError, type ErrorKind, kindOf, messageOf } from '#base/errors.ts';

/** What each code of the distribution API means: its status, our kind and what is said when nothing better is known (spec, Error Codes). */
const codes = {
  BLOB_UNKNOWN: [404, 'NotFound', 'blob unknown to registry'],
  BLOB_UPLOAD_INVALID: [400, 'InvalidArgument', 'blob upload invalid'],
  BLOB_UPLOAD_UNKNOWN: [404, 'NotFound', 'blob upload unknown to registry'],
  DIGEST_INVALID: [400, 'InvalidArgument', 'provided digest did not match uploaded content'],
  MANIFEST_BLOB_UNKNOWN: [400, 'FailedPrecondition', 'blob unknown to registry'],
  MANIFEST_INVALID: [400, 'InvalidArgument', 'manifest invalid'],
  MANIFEST_UNKNOWN: [404, 'NotFound', 'manifest unknown'],
  NAME_INVALID: [400, 'InvalidArgument', 'invalid repository name'],
  NAME_UNKNOWN: [404, 'NotFound', 'repository name not known to registry'],
  SIZE_INVALID: [400, 'InvalidArgument', 'provided length did not match content length'],
  UNAUTHORIZED: [401, 'Unauthenticated', 'authentication required'],
  DENIED: [403, 'PermissionDenied', 'requested access to the resource is denied'],
  UNSUPPORTED: [405, 'NotImplemented', 'The operation is unsupported.'],
  TOOMANYREQUESTS: [429, 'ResourceExhausted', 'too many requests'],
  // Beyond the specification, as the reference registry has them.
  TAG_INVALID: [400, 'InvalidArgument', 'manifest tag did not match URI'],
  RANGE_INVALID: [416, 'InvalidArgument', 'invalid content range'],
  PAGINATION_NUMBER_INVALID: [400, 'InvalidArgument', 'invalid number of results requested'],
  UNAVAILABLE: [503, 'Unavailable', 'service unavailable'],
  UNKNOWN: [500, 'Internal', 'unknown error'],
} as const satisfies Record<string, readonly [status: number, kind: ErrorKind, message: string]>;

export type Code = keyof typeof codes;

export interface RefusalOptions {
  readonly detail?: unknown;
  /** Where the code alone leaves a choice, such as 413 for a manifest that is too large. */
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly cause?: unknown;
}

/** What the registry answers instead of doing what was asked. */
export class Refusal extends EngineError {
  readonly code: Code;
  readonly status: number;
  readonly detail: unknown;
  readonly headers: Readonly<Record<string, string>>;

  constructor(code: Code, message: string, options: RefusalOptions) {
    super(codes[code][1], message, options.cause === undefined ? {} : { cause: options.cause });
    this.code = code;
    this.status = options.status ?? codes[code][0];
    this.detail = options.detail;
    this.headers = options.headers ?? {};
  }
}

export const refusal = (code: Code, message: string = codes[code][2], options: RefusalOptions = {}): Refusal =>
  new Refusal(code, message, options);

/** The one place where an error that is not a refusal becomes one; forgetting a kind does not compile. */
const codeOfKind = {
  InvalidArgument: 'UNKNOWN',
  Unauthenticated: 'UNAUTHORIZED',
  PermissionDenied: 'DENIED',
  NotFound: 'UNKNOWN',
  AlreadyExists: 'UNKNOWN',
  Conflict: 'UNKNOWN',
  NotModified: 'UNKNOWN',
  FailedPrecondition: 'UNKNOWN',
  ResourceExhausted: 'UNAVAILABLE',
  NotImplemented: 'UNSUPPORTED',
  Unavailable: 'UNAVAILABLE',
  Canceled: 'UNAVAILABLE',
  DeadlineExceeded: 'UNAVAILABLE',
  DataLoss: 'UNKNOWN',
  Internal: 'UNKNOWN',
} as const satisfies Record<ErrorKind, Code>;

/** Says nothing of the inside to a client: what is not a refusal is told in general words, and logged by the caller. */
export function toRefusal(err: unknown): Refusal {
  if (err instanceof Refusal) return err;
  const kind = kindOf(err);
  const code = codeOfKind[kind];
  const words = kind === 'Internal' || kind === 'DataLoss' ? undefined : messageOf(err);
  return refusal(code, words, { cause: err });
}

/** `{"errors":[{code,message,detail}]}` */
export const refusalBody = ({ code, message, detail }: Refusal): string =>
  JSON.stringify({ errors: [{ code, message, ...(detail === undefined ? {} : { detail }) }] });
