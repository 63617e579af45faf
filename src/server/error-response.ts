import { kindOf, messageOf } from '#base/errors.ts';
import type { ErrorKind } from '#base/errors.ts';
import type { ErrorResponse } from '#api/types/common.ts';

/** The only place that chooses a status. A kind without a row does not compile. */
export const httpStatus = {
  InvalidArgument: 400,
  Unauthenticated: 401,
  PermissionDenied: 403,
  NotFound: 404,
  AlreadyExists: 409,
  Conflict: 409,
  NotModified: 304,
  FailedPrecondition: 400,
  ResourceExhausted: 500,
  NotImplemented: 501,
  Unavailable: 503,
  Canceled: 499,
  DeadlineExceeded: 500,
  DataLoss: 500,
  Internal: 500,
} as const satisfies Record<ErrorKind, number>;

export interface ErrorAnswer {
  readonly status: number;
  readonly body: ErrorResponse;
}

export const toErrorAnswer = (err: unknown): ErrorAnswer => ({ status: httpStatus[kindOf(err)], body: { message: messageOf(err) } });
