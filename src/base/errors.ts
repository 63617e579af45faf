/** What went wrong, in the words of the domain. Each edge (HTTP, exit code, errno) has one table that maps these. */
export type ErrorKind =
  | 'InvalidArgument'
  | 'Unauthenticated'
  | 'PermissionDenied'
  | 'NotFound'
  | 'AlreadyExists'
  | 'Conflict'
  | 'NotModified'
  | 'FailedPrecondition'
  | 'ResourceExhausted'
  | 'NotImplemented'
  | 'Unavailable'
  | 'Canceled'
  | 'DeadlineExceeded'
  | 'DataLoss'
  | 'Internal';

export interface ErrorOptions {
  readonly cause?: unknown;
}

/** An error with a kind. Made by the functions below; the message is written for the person who reads it. */
export class EngineError extends Error {
  readonly kind: ErrorKind;

  constructor(kind: ErrorKind, message: string, options: ErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'EngineError';
    this.kind = kind;
  }
}

const maker =
  (kind: ErrorKind) =>
  (message: string, options?: ErrorOptions): EngineError =>
    new EngineError(kind, message, options);

export const invalidArgument = maker('InvalidArgument');
export const unauthenticated = maker('Unauthenticated');
export const permissionDenied = maker('PermissionDenied');
export const notFound = maker('NotFound');
export const alreadyExists = maker('AlreadyExists');
export const conflict = maker('Conflict');
export const notModified = maker('NotModified');
export const failedPrecondition = maker('FailedPrecondition');
export const resourceExhausted = maker('ResourceExhausted');
export const notImplemented = maker('NotImplemented');
export const unavailable = maker('Unavailable');
export const canceled = maker('Canceled');
export const deadlineExceeded = maker('DeadlineExceeded');
export const dataLoss = maker('DataLoss');
export const internal = maker('Internal');

/** The error a caller should act on: the outermost one with a kind. A failed cleanup never hides what it was cleaning up after. */
function actionable(err: unknown): unknown {
  if (err instanceof EngineError) return err;
  if (err instanceof SuppressedError) return actionable(err.suppressed);
  if (err instanceof AggregateError && err.errors.length > 0) return actionable(err.errors[0]);
  return err;
}

/** The kind of the outermost error that has one; `Internal` when none has. Looks through cleanup errors, aggregates and causes. */
export function kindOf(err: unknown): ErrorKind {
  const seen = actionable(err);
  if (seen instanceof EngineError) return seen.kind;
  if (seen instanceof Error && seen.name === 'AbortError') return 'Canceled';
  if (seen instanceof Error && seen.name === 'TimeoutError') return 'DeadlineExceeded';
  return seen instanceof Error && seen.cause !== undefined ? kindOf(seen.cause) : 'Internal';
}

/** The sentence to show for an error: the message of the same error whose kind `kindOf` reports. */
export function messageOf(err: unknown): string {
  const seen = actionable(err);
  if (seen instanceof Error) return seen.message === '' ? seen.name : seen.message;
  return String(seen);
}

/** True for a system error with this errno name, such as `isErrno(err, 'ENOENT')`. */
export function isErrno(err: unknown, ...codes: readonly string[]): boolean {
  return err instanceof Error && 'code' in err && typeof err.code === 'string' && codes.includes(err.code);
}
