import { type ApiVersion, isBefore, maxApiVersion, minApiVersion, parseApiVersion } from '#api/versions.ts';
import { invalidArgument, isErrno, messageOf } from '#base/errors.ts';
import type { Endpoint, TlsFiles } from './endpoint.ts';
import { ConnectionError, connectionError, daemonError } from './errors.ts';
import type { HijackedStream } from './hijack.ts';
import type { SocketAddress, TlsMaterial } from './socket-address.ts';

/** The newest API version this client speaks. */
export const clientApiVersion = maxApiVersion;

export type Query = Readonly<Record<string, string | number | boolean | readonly string[] | undefined>>;

export type RequestBody = ReadableStream<Uint8Array> | Blob | string | Uint8Array<ArrayBuffer>;

export interface Request {
  readonly query?: Query;
  readonly headers?: Readonly<Record<string, string>>;
  /** Sent as JSON. */
  readonly json?: unknown;
  /** Sent as it is. */
  readonly body?: RequestBody;
  readonly signal?: AbortSignal | undefined;
}

export interface ServerIdentity {
  readonly apiVersion: string;
  readonly osType: string;
  readonly builderVersion: string;
  readonly experimental: boolean;
  readonly swarm: string;
}

export interface ConnectionOptions {
  readonly endpoint: Endpoint;
  /** Use this version and do not negotiate. */
  readonly apiVersion?: string | undefined;
  readonly headers?: Readonly<Record<string, string>>;
  readonly userAgent: string;
}

interface FetchTarget {
  readonly base: string;
  readonly init: BunFetchRequestInit;
}

/**
 * A daemon's HTTP API. The version is agreed on with the first request that needs one: a HEAD /_ping whose connection the request itself then
 * uses again. Non-2xx answers reject with DaemonError, an unreachable daemon with ConnectionError.
 */
export class Connection {
  readonly endpoint: Endpoint;
  readonly #headers: Record<string, string>;
  #apiVersion: string | undefined;
  #identity: Promise<ServerIdentity> | undefined;
  #target: Promise<FetchTarget> | undefined;
  #closers: (() => void)[] = [];

  constructor(options: ConnectionOptions) {
    this.endpoint = options.endpoint;
    this.#apiVersion = options.apiVersion;
    this.#headers = { 'User-Agent': options.userAgent, ...options.headers };
  }

  /** True when the version was given and not agreed on. */
  get negotiates(): boolean {
    return this.#apiVersion === undefined;
  }

  /** Asks the daemon who it is, once. */
  ping(signal?: AbortSignal): Promise<ServerIdentity> {
    this.#identity ??= this.#ping(signal);
    return this.#identity;
  }

  /** The version that requests carry. */
  async apiVersion(signal?: AbortSignal): Promise<string> {
    if (this.#apiVersion === undefined) {
      const { apiVersion } = await this.ping(signal);
      this.#apiVersion = lowerVersion(parseVersion(apiVersion), clientApiVersion);
    }
    return this.#apiVersion;
  }

  /** The versioned path of a request, with its query. */
  async path(path: string, query?: Query, signal?: AbortSignal): Promise<string> {
    return `/v${await this.apiVersion(signal)}${path}${encodeQuery(query)}`;
  }

  /** Sends a request and returns the response when its headers have come. */
  async send(method: string, path: string, request: Request = {}): Promise<Response> {
    const response = await this.#fetch(method, await this.path(path, request.query, request.signal), request);
    if (response.status >= 200 && response.status < 300) return response;
    throw daemonError(response.status, response.statusText, response.headers.get('content-type'), await response.text());
  }

  async json<T>(method: string, path: string, request: Request = {}): Promise<T> {
    const response = await this.send(method, path, request);
    const text = await response.text();
    return (text === '' ? undefined : JSON.parse(text)) as T;
  }

  /** A request whose answer has no body worth reading. 304 is a success: what was asked for is already so. */
  async run(method: string, path: string, request: Request = {}): Promise<void> {
    const response = await this.#fetch(method, await this.path(path, request.query, request.signal), request);
    const body = await response.text();
    if ((response.status >= 200 && response.status < 300) || response.status === 304) return;
    throw daemonError(response.status, response.statusText, response.headers.get('content-type'), body);
  }

  /** Turns the connection of a POST into a raw stream in both directions. */
  async hijack(path: string, request: Request = {}, upgrade = 'tcp'): Promise<HijackedStream> {
    const fullPath = await this.path(path, request.query, request.signal);
    const [{ hijack }, address] = await Promise.all([import('./hijack.ts'), this.socketAddress()]);
    const headers = { ...this.#headers, ...request.headers };
    return hijack(address, fullPath, headers, request.json, { upgrade, signal: request.signal });
  }

  /** Where to open a socket for a raw conversation. */
  async socketAddress(): Promise<SocketAddress> {
    const { endpoint } = this;
    if (endpoint.kind === 'unix') return { host: endpoint.text, unix: endpoint.path };
    if (endpoint.kind === 'tcp') {
      const tls = endpoint.tls === undefined ? undefined : await readTls(endpoint.tls);
      return {
        host: endpoint.text,
        hostname: endpoint.host,
        port: endpoint.port,
        basePath: endpoint.basePath,
        ...(tls === undefined ? {} : { tls }),
      };
    }
    return { host: endpoint.text, unix: await this.#sshSocket(endpoint) };
  }

  close(): void {
    for (const closer of this.#closers.splice(0)) closer();
  }

  async #ping(signal?: AbortSignal): Promise<ServerIdentity> {
    let response = await this.#fetch('HEAD', '/_ping', { signal });
    if (response.status !== 200) response = await this.#fetch('GET', '/_ping', { signal });
    const { headers } = response;
    if (response.status === 200) await response.text();
    else if (headers.get('api-version') === null) {
      throw daemonError(response.status, response.statusText, headers.get('content-type'), await response.text());
    }
    return {
      apiVersion: headers.get('api-version') ?? minApiVersion,
      osType: headers.get('ostype') ?? 'linux',
      builderVersion: headers.get('builder-version') ?? '',
      experimental: headers.get('docker-experimental') === 'true',
      swarm: headers.get('swarm') ?? '',
    };
  }

  async #fetch(method: string, path: string, request: Request): Promise<Response> {
    this.#target ??= this.#resolveTarget();
    const target = await this.#target;
    const headers: Record<string, string> = { ...this.#headers, ...request.headers };
    let body = request.body;
    if (request.json !== undefined) {
      headers['Content-Type'] = 'application/json';
      body = JSON.stringify(request.json);
    }
    try {
      return await fetch(`${target.base}${path}`, {
        ...target.init,
        method,
        headers,
        redirect: 'manual',
        ...(body === undefined ? {} : { body }),
        ...(request.signal === undefined ? {} : { signal: request.signal }),
      });
    } catch (err) {
      if (request.signal?.aborted === true) throw err;
      throw await this.#explain(err);
    }
  }

  #tlsProblem(err: unknown): string | undefined {
    if (this.endpoint.kind !== 'tcp' || this.endpoint.tls === undefined) return undefined;
    if (isErrno(err, 'EPROTO')) {
      const wants = this.endpoint.tls.cert === undefined ? 'a client certificate (--tlscert and --tlskey)' : 'another client certificate';
      return `the TLS handshake failed: the daemon may want ${wants}, or not speak TLS on this port`;
    }
    return /certificate/.test(messageOf(err)) ? `${messageOf(err)} (--tlscacert names the authority to trust)` : undefined;
  }

  async #resolveTarget(): Promise<FetchTarget> {
    const { endpoint } = this;
    // Without this, a stream that says nothing for five minutes ends.
    const timeout = false;
    if (endpoint.kind === 'unix') return { base: 'http://localhost', init: { unix: endpoint.path, timeout } as BunFetchRequestInit };
    if (endpoint.kind === 'tcp') {
      const base = `${endpoint.tls === undefined ? 'http' : 'https'}://${endpoint.host}:${endpoint.port}${endpoint.basePath}`;
      return {
        base,
        init: { timeout, ...(endpoint.tls === undefined ? {} : { tls: await readTls(endpoint.tls) }) } as BunFetchRequestInit,
      };
    }
    return { base: 'http://localhost', init: { unix: await this.#sshSocket(endpoint), timeout } as BunFetchRequestInit };
  }

  #ssh: Promise<string> | undefined;

  async #sshSocket(endpoint: Endpoint & { kind: 'ssh' }): Promise<string> {
    this.#ssh ??= import('./ssh.ts').then(async ({ openSshBridge }) => {
      const bridge = await openSshBridge(endpoint);
      this.#closers.push(() => bridge.close());
      return bridge.socketPath;
    });
    return await this.#ssh;
  }

  /** fetch() says only that it failed: a second look says why. */
  async #explain(err: unknown): Promise<unknown> {
    if (err instanceof ConnectionError) return err;
    const address = await this.socketAddress();
    try {
      const { connect } = await import('node:net');
      await new Promise<void>((resolve, reject) => {
        const socket = address.unix === undefined ? connect(address.port ?? 0, address.hostname) : connect(address.unix);
        socket.once('error', reject);
        socket.once('connect', () => {
          socket.destroy();
          resolve();
        });
      });
    } catch (cause) {
      return connectionError(address.host, this.endpoint.kind === 'ssh' ? err : cause);
    }
    if (isErrno(err, 'ECONNRESET', 'ConnectionClosed')) {
      const plain = this.endpoint.kind === 'tcp' && this.endpoint.tls === undefined;
      const hint = plain ? ' (does it expect TLS? then use --tlsverify)' : '';
      return connectionErrorText(address.host, `the daemon closed the connection before it answered${hint}`, err);
    }
    return connectionErrorText(address.host, this.#tlsProblem(err) ?? messageOf(err), err);
  }
}

const connectionErrorText = (host: string, text: string, cause: unknown): ConnectionError =>
  new ConnectionError(`error during connect: ${host}: ${text}`, cause);

async function readTls(files: TlsFiles): Promise<TlsMaterial> {
  const read = async (what: string, path: string | undefined): Promise<string | undefined> => {
    if (path === undefined) return undefined;
    try {
      return await Bun.file(path).text();
    } catch (err) {
      throw new ConnectionError(`could not read ${what} "${path}": ${messageOf(err)}`, err);
    }
  };
  const [ca, cert, key] = await Promise.all([
    read('CA certificate', files.ca),
    read('X509 certificate', files.cert),
    read('X509 key', files.key),
  ]);
  return {
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
    rejectUnauthorized: files.verify,
  };
}

/** Keys without a value are left out; a list gives its key several times. */
export function encodeQuery(query: Query | undefined): string {
  if (query === undefined) return '';
  const parts: string[] = [];
  for (const [key, value] of Object.entries(query)) {
    if (value === undefined) continue;
    for (const item of Array.isArray(value) ? value : [value]) {
      parts.push(`${key}=${encodeURIComponent(item === true ? '1' : item === false ? '0' : String(item))}`);
    }
  }
  return parts.length === 0 ? '' : `?${parts.join('&')}`;
}

/** A version as it is written in a header or a variable. Rejects with InvalidArgument. */
export function parseVersion(text: string): ApiVersion {
  const version = parseApiVersion(text);
  if (version === undefined) throw invalidArgument(`invalid API version "${text}": expected two numbers such as ${maxApiVersion}`);
  return version;
}

const lowerVersion = (a: ApiVersion, b: ApiVersion): ApiVersion => (isBefore(a, b) ? a : b);
