import { EngineError, type ErrorKind, isErrno } from '#base/errors.ts';
import { RegistryError } from '#core/registry.ts';

const kinds: Readonly<Record<string, ErrorKind>> = {
  UNAUTHORIZED: 'Unauthenticated',
  DENIED: 'PermissionDenied',
  MANIFEST_UNKNOWN: 'NotFound',
  NAME_UNKNOWN: 'NotFound',
  BLOB_UNKNOWN: 'NotFound',
  BLOB_UPLOAD_UNKNOWN: 'NotFound',
  MANIFEST_BLOB_UNKNOWN: 'NotFound',
  TOOMANYREQUESTS: 'ResourceExhausted',
  UNAVAILABLE: 'Unavailable',
  UNSUPPORTED: 'NotImplemented',
};

const defaultMessages: Readonly<Record<string, string>> = {
  UNAUTHORIZED: 'authentication required',
  DENIED: 'requested access to the resource is denied',
  MANIFEST_UNKNOWN: 'manifest unknown',
  NAME_UNKNOWN: 'repository name not known to registry',
  BLOB_UNKNOWN: 'blob unknown to registry',
  TOOMANYREQUESTS: 'too many requests',
  UNSUPPORTED: 'The operation is unsupported.',
  UNAVAILABLE: 'service unavailable',
};

/** For answers that say nothing but their status. */
const codesByStatus: Readonly<Record<number, string>> = {
  401: 'UNAUTHORIZED',
  403: 'DENIED',
  405: 'UNSUPPORTED',
  429: 'TOOMANYREQUESTS',
  503: 'UNAVAILABLE',
};

const maxErrorBytes = 64 * 1024;

/** The error that a refusing answer stands for. Reads its body, at most a little of it. */
export async function errorOf(method: string, url: string, response: Response): Promise<RegistryError> {
  const text = await readStart(response);
  const listed = parseErrors(text);
  const { status } = response;
  const options = { retryAfterMs: parseRetryAfter(response.headers.get('retry-after'), Date.now()) };
  if (listed !== undefined) {
    const { code, message } = listed;
    const words = message === '' ? (defaultMessages[code] ?? code.toLowerCase()) : message;
    const kind = kinds[code] ?? kindOfStatus(status);
    return new RegistryError(kind, code, `${code.toLowerCase().replaceAll('_', ' ')}: ${words}`, options);
  }
  const code = codesByStatus[status];
  if (code !== undefined)
    return new RegistryError(kinds[code] ?? 'Internal', code, `${code.toLowerCase()}: ${defaultMessages[code] ?? ''}`, options);
  const what = /^\s*</.test(text) ? 'an HTML page instead of a registry answer' : text.trim().slice(0, 200);
  const where = `${goMethod(method)} "${withoutSecrets(url)}"`;
  const words = `${where}: unexpected status ${`${status} ${response.statusText}`.trim()}${what === '' ? '' : `: ${what}`}`;
  return new RegistryError(kindOfStatus(status), 'UNKNOWN', words, options);
}

function kindOfStatus(status: number): ErrorKind {
  if (status === 404) return 'NotFound';
  if (status === 429) return 'ResourceExhausted';
  if (status >= 500 || status === 408) return 'Unavailable';
  return status >= 400 ? 'FailedPrecondition' : 'DataLoss';
}

/** Seconds or a date (RFC 9110, section 10.2.3) as milliseconds from now; undefined for anything else. */
export function parseRetryAfter(header: string | null, now: number): number | undefined {
  if (header === null) return undefined;
  if (/^\s*\d{1,9}\s*$/.test(header)) return Number(header) * 1000;
  const date = Date.parse(header);
  return Number.isNaN(date) ? undefined : Math.max(date - now, 0);
}

function parseErrors(text: string): { readonly code: string; readonly message: string } | undefined {
  try {
    const { errors, details } = JSON.parse(text) as { errors?: { code?: unknown; message?: unknown }[]; details?: unknown };
    const first = errors?.[0];
    if (typeof first?.code === 'string') return { code: first.code, message: typeof first.message === 'string' ? first.message : '' };
    // Token servers answer in a shape of their own.
    return typeof details === 'string' ? { code: 'UNAUTHORIZED', message: details } : undefined;
  } catch {
    return undefined;
  }
}

async function readStart(response: Response): Promise<string> {
  const parts: Uint8Array[] = [];
  let bytes = 0;
  try {
    for await (const chunk of response.body ?? []) {
      parts.push(chunk);
      bytes += chunk.length;
      if (bytes > maxErrorBytes) break;
    }
  } catch {
    // What arrived before the connection broke has to do.
  }
  return Buffer.concat(parts).toString('utf8');
}

const goMethod = (method: string): string => method[0] + method.slice(1).toLowerCase();

/** An address for messages: queries may carry signatures, and what stands before the host a password. */
export const withoutSecrets = (url: string): string => url.replace(/\?.*$/, '').replace(/^([a-z]+:\/\/)[^/]*@/i, '$1');

const tlsWords: Readonly<Record<string, string>> = {
  DEPTH_ZERO_SELF_SIGNED_CERT: 'x509: certificate signed by unknown authority',
  SELF_SIGNED_CERT_IN_CHAIN: 'x509: certificate signed by unknown authority',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'x509: certificate signed by unknown authority',
  UNABLE_TO_GET_ISSUER_CERT: 'x509: certificate signed by unknown authority',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 'x509: certificate signed by unknown authority',
  CERT_HAS_EXPIRED: 'x509: certificate has expired or is not yet valid',
  CERT_NOT_YET_VALID: 'x509: certificate has expired or is not yet valid',
  ERR_TLS_CERT_ALTNAME_INVALID: 'x509: certificate is not valid for this name',
};

/** A request that got no answer. */
export class ConnectionError extends EngineError {
  /** It will be the same in a second: nobody is there, the name is unknown, the certificate is wrong. */
  readonly isLasting: boolean;

  constructor(message: string, isLasting: boolean, cause: unknown) {
    super('Unavailable', message, { cause });
    this.isLasting = isLasting;
  }
}

const passingCodes = ['ECONNRESET', 'ConnectionClosed', 'EPIPE', 'ETIMEDOUT', 'EAI_AGAIN', 'ETIMEOUT', 'ESERVFAIL'];

/** Says why there was no answer, in the words Docker's users know. */
export function connectionError(method: string, url: string, err: unknown): ConnectionError {
  const { host, hostname, port, protocol } = new URL(url);
  const address = port === '' ? `${host}:${protocol === 'https:' ? 443 : 80}` : host;
  const isLasting = !isErrno(err, ...passingCodes) && !(err instanceof Error && err.name === 'TimeoutError');
  return new ConnectionError(`${goMethod(method)} "${withoutSecrets(url)}": ${describeFailure(err, hostname, address)}`, isLasting, err);
}

function describeFailure(err: unknown, hostname: string, address: string): string {
  const code = err instanceof Error && 'code' in err && typeof err.code === 'string' ? err.code : '';
  const words = tlsWords[code];
  if (words !== undefined) return `tls: failed to verify certificate: ${words}`;
  if (err instanceof Error && err.name === 'TimeoutError')
    return 'net/http: request canceled while waiting for the answer (timeout exceeded)';
  switch (code) {
    case 'ENOTFOUND':
      return `dial tcp: lookup ${hostname}: no such host`;
    case 'EAI_AGAIN':
    case 'ETIMEOUT':
    case 'ESERVFAIL':
      return `dial tcp: lookup ${hostname}: temporary failure in name resolution`;
    case 'ECONNREFUSED':
    case 'ConnectionRefused':
      return `dial tcp ${address}: connect: connection refused`;
    case 'ETIMEDOUT':
      return `dial tcp ${address}: i/o timeout`;
    case 'EHOSTUNREACH':
      return `dial tcp ${address}: connect: no route to host`;
    case 'ENETUNREACH':
      return `dial tcp ${address}: connect: network is unreachable`;
    case 'EPROTO':
      return 'http: server gave HTTP response to HTTPS client';
    case 'ECONNRESET':
    case 'ConnectionClosed':
      return `read tcp ${address}: connection reset by peer`;
    default:
      return err instanceof Error ? err.message : String(err);
  }
}
