import { dataLoss } from '#base/errors.ts';
import { isInsecure, type LookUp } from './addresses.ts';
import { readCertificates, type TlsOptions } from './certificates.ts';
import { type ProxySettings, proxyFor } from './proxies.ts';
import { connectionError, withoutSecrets } from './registry-errors.ts';

export interface TransportOptions {
  readonly userAgent: string;
  /** Such as /etc/docker/certs.d, best first. */
  readonly certificateDirs: readonly string[];
  /** Asked for each connection: the operator may change it. */
  readonly insecureRegistries: () => readonly string[];
  readonly lookUp: LookUp;
  readonly proxies: ProxySettings;
  /** How long to wait for the beginning of an answer. */
  readonly answerTimeoutMs: number;
}

export interface HttpRequest {
  readonly method: 'GET' | 'HEAD' | 'POST' | 'PATCH' | 'PUT' | 'DELETE';
  readonly url: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array | AsyncIterable<Uint8Array>;
  readonly signal: AbortSignal;
  /** How to speak TLS to the host of the URL, besides what is in certs.d; not to hosts that it sends on to. */
  readonly tls?: TlsOptions | undefined;
}

const maxRedirects = 10;
const tlsLifetimeMs = 10_000;

/** HTTP as registries need it: certificates per host, redirects that do not give away who we are, failures in words. */
export class Transport {
  readonly #options: TransportOptions;
  /** By host and what is insecure. */
  readonly #tls = new Map<string, Promise<TlsOptions>>();

  constructor(options: TransportOptions) {
    this.#options = options;
  }

  /** Any answer is an answer, whatever its status. Rejects with Unavailable when there is none. */
  async send(request: HttpRequest): Promise<Response> {
    let url = request.url;
    let headers = { ...request.headers };
    for (let hop = 0; ; hop += 1) {
      const response = await this.#once({ ...request, url, headers, tls: isSameHost(url, request.url) ? request.tls : undefined });
      const location = response.headers.get('location');
      const isRead = request.method === 'GET' || request.method === 'HEAD';
      if (!isRead || location === null || ![301, 302, 303, 307, 308].includes(response.status)) return response;
      await response.body?.cancel();
      if (hop >= maxRedirects) throw dataLoss(`Get "${withoutSecrets(request.url)}": stopped after ${maxRedirects} redirects`);
      const next = resolveLocation(location, url);
      if (!isSameHost(next, url)) headers = forAnybody(headers);
      url = next;
    }
  }

  async #once(request: HttpRequest): Promise<Response> {
    const { method, url, body, signal } = request;
    const { host, protocol } = new URL(url);
    const tls = protocol === 'https:' ? { ...(await this.#tlsFor(host)), ...request.tls } : {};
    const proxy = proxyFor(new URL(url), this.#options.proxies);
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
        ...(proxy !== undefined && { proxy }),
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
    const insecureRegistries = this.#options.insecureRegistries();
    const key = JSON.stringify([host, insecureRegistries]);
    let known = this.#tls.get(key);
    if (known === undefined) {
      known = this.#readTls(host, insecureRegistries);
      this.#tls.set(key, known);
      // Certificates may be added or mended, and names get other addresses, while the daemon runs.
      setTimeout(() => this.#tls.delete(key), tlsLifetimeMs).unref();
    }
    return await known;
  }

  async #readTls(host: string, insecureRegistries: readonly string[]): Promise<TlsOptions> {
    const tls = await readCertificates(this.#options.certificateDirs, host);
    return (await isInsecure(host, insecureRegistries, this.#options.lookUp)) ? { ...tls, rejectUnauthorized: false } : tls;
  }
}

/** Locations are used as they are given: absolute or relative, with their query. Rejects with DataLoss for what is no web address. */
export function resolveLocation(location: string, base: string): string {
  if (!URL.canParse(location, base)) throw dataLoss(`the registry at ${withoutSecrets(base)} answered with an invalid location`);
  const url = new URL(location, base);
  if (url.protocol !== 'http:' && url.protocol !== 'https:') {
    throw dataLoss(`the registry at ${withoutSecrets(base)} answered with a location of the unsupported kind ${url.protocol}`);
  }
  return url.href;
}

const isSameHost = (one: string, other: string): boolean => new URL(one).host === new URL(other).host;

/** Another host gets what the request is about, nothing of what the first one is told of us: credentials, and headers that the operator or a client added. */
function forAnybody(headers: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => /^(accept|range|if-range)$/i.test(name)));
}
