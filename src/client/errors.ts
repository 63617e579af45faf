import { EngineError, type ErrorKind, unavailable } from '#base/errors.ts';

/** The one table from HTTP status to error kind. */
const kinds: Readonly<Record<number, ErrorKind>> = {
  304: 'NotModified',
  400: 'InvalidArgument',
  401: 'Unauthenticated',
  403: 'PermissionDenied',
  404: 'NotFound',
  409: 'Conflict',
  429: 'ResourceExhausted',
  499: 'Canceled',
  501: 'NotImplemented',
  503: 'Unavailable',
};

/** An answer of the daemon that is not a success. `reason` is the daemon's own sentence. */
export class DaemonError extends EngineError {
  readonly status: number;
  readonly reason: string;

  constructor(status: number, reason: string) {
    super(kinds[status] ?? 'Internal', `Error response from daemon: ${reason}`);
    this.name = 'DaemonError';
    this.status = status;
    this.reason = reason;
  }
}

/** Makes the error for a response outside 2xx from its body. */
export function daemonError(status: number, statusText: string, contentType: string | null, body: string): DaemonError {
  if (contentType?.startsWith('application/json') === true) {
    try {
      const parsed: unknown = JSON.parse(body);
      if (
        typeof parsed === 'object' &&
        parsed !== null &&
        'message' in parsed &&
        typeof parsed.message === 'string' &&
        parsed.message !== ''
      ) {
        return new DaemonError(status, parsed.message.trim());
      }
    } catch {
      // Not JSON after all: the text below is the best there is.
    }
    return new DaemonError(status, `API returned a ${status} (${statusText}) but provided no error-message`);
  }
  const text = body.trim();
  return new DaemonError(
    status,
    text === '' ? `request returned ${status} (${statusText}); check if the server supports the requested API version` : text,
  );
}

/** The daemon could not be reached at all. */
export class ConnectionError extends EngineError {
  constructor(message: string, cause: unknown) {
    super('Unavailable', message, { cause });
    this.name = 'ConnectionError';
  }
}

const reasons: Readonly<Record<string, string>> = {
  ENOENT: 'no such file or directory',
  ECONNREFUSED: 'connection refused',
  ENOTSOCK: 'not a socket',
  ETIMEDOUT: 'connection timed out',
  EHOSTUNREACH: 'no route to host',
  ENOTFOUND: 'no such host',
};

export function connectionError(host: string, cause: unknown): EngineError {
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : '';
  const detail = reasons[code] ?? (cause instanceof Error ? cause.message : String(cause));
  if (code === 'EACCES' || code === 'EPERM') {
    return new ConnectionError(`permission denied while trying to connect to the docker API at ${host}`, cause);
  }
  if (host.startsWith('unix://') || code === 'ECONNREFUSED') {
    const check = host.startsWith('unix://')
      ? 'check if the path is correct and if the daemon is running'
      : 'check if the address is correct and if the daemon is running';
    return new ConnectionError(`failed to connect to the docker API at ${host}; ${check}: ${detail}`, cause);
  }
  return unavailable(`error during connect: ${host}: ${detail}`, { cause });
}
