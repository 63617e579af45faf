import { dataLoss } from '#base/errors.ts';
import { isInsecure } from './endpoints.ts';
import { readCertificates, type TlsOptions } from './certificates.ts';
import { connectionError, withoutQuery } from './registry-errors.ts';

export interface TransportOptions {
  readonly userAgent: string;
  /** Such as /etc/docker/certs.d. */
  readonly certificatesDir: string;
  /** Asked for each connection: the operator may change it. */
  readonly insecureRegistries: () => readonly string[];
  /** How long to wait for the beginning of an answer. */
  readonly answerTimeoutMs: number;
}

export interface HttpRequest {
  readonly method: 'GET' | 'HEAD' | 'POST' | 'PATCH' | 'PUT' | 'DELETE';
  readonly url: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array | AsyncIterable<Uint8Array>;
  readonly signal: AbortSignal;
}

const maxRedirects = 10;

/** HTTP as registries need it: certificates per host, redirects that do not give away who we are, failures in words. */
export class Transport {
  readonly #options: TransportOptions;
  readonly #certificates = new Map<string, Promise<TlsOptions>>();

  constructor(options: TransportOptions) {
    this.#options = options;
  }

  /** Any answer is an answer, whatever its status. Rejects with Unavailable when there is none. */
  async send(request: HttpRequest): Promise<Response> {
    let url = request.url;
    let headers = { ...request.headers };
    for (let hop = 0; ; hop += 1) {
      const response = await this.#once({ ...request, url, headers });
      const location = response.headers.get('location');
      const isRead = request.method === 'GET' || request.method === 'HEAD';
      if (!isRead || location === null || ![301, 302, 303, 307, 308].includes(response.status)) return response;
      await response.body?.cancel();
      if (hop >= maxRedirects) throw dataLoss(`Get "${withoutQuery(request.url)}": stopped after ${maxRedirects} redirects`);
      const next = resolveLocation(location, url);
      if (new URL(next).host !== new URL(url).host) headers = withoutCredentials(headers);
      url = next;
    }
  }

  async #once(request: HttpRequest): Promise<Response> {
    const { method, url, body, signal } = request;
    const { host, protocol } = new URL(url);
    const tls = protocol === 'https:' ? await this.#tlsFor(host) : {};
    // An upload is answered when all of it has arrived: only reads can be told to hurry.
    const patience = body === undefined ? new AbortController() : undefined;
    const timer = setTimeout(() => patience?.abort(new DOMException('no answer', 'TimeoutError')), this.#options.answerTimeoutMs);
    try {
      const init: BunFetchRequestInit = {
        method,
        headers: { 'User-Agent': this.#options.userAgent, 'Accept-Encoding': 'identity', ...request.headers },
        redirect: 'manual',
        decompress: false,
        signal: patience === undefined ? signal : AbortSignal.any([signal, patience.signal]),
        tls,
        ...(body !== undefined && { body: body as NonNullable<BunFetchRequestInit['body']> }),
      };
      return await fetch(url, init);
    } catch (err) {
      signal.throwIfAborted();
      throw connectionError(method, url, err);
    } finally {
      clearTimeout(timer);
    }
  }

  async #tlsFor(host: string): Promise<TlsOptions> {
    let known = this.#certificates.get(host);
    if (known === undefined) {
      known = readCertificates(this.#options.certificatesDir, host);
      this.#certificates.set(host, known);
      // Certificates may be added or mended while the daemon runs.
      setTimeout(() => this.#certificates.delete(host), 60_000).unref();
    }
    const tls = await known;
    return isInsecure(host, this.#options.insecureRegistries()) ? { ...tls, rejectUnauthorized: false } : tls;
  }
}

/** Locations are used as they are given: absolute or relative, with their query. Rejects with DataLoss for what is no web address. */
export function resolveLocation(location: string, base: string): string {
  if (!URL.canParse(location, base)) throw dataLoss(`the registry at ${withoutQuery(base)} answered with an invalid location`);
  const url = new URL(location, base);
  if (url.protocol !== 'http:' && url.protocol !== 'https:') {
    throw dataLoss(`the registry at ${withoutQuery(base)} answered with a location of the unsupported kind ${url.protocol}`);
  }
  return url.href;
}

function withoutCredentials(headers: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => name.toLowerCase() !== 'authorization'));
}
