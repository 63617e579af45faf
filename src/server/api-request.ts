import type { IncomingHttpHeaders } from 'node:http';
import { invalidArgument } from '#base/errors.ts';
import { decodeJson } from '#api/decode.ts';
import type { Decoder } from '#api/decode.ts';
import { Query } from '#api/query.ts';
import type { ApiVersion } from '#api/versions.ts';

const jsonBodyLimitBytes = 32 * 1024 * 1024;

/** What an HTTP request consists of, however it arrived. */
export interface RawRequest {
  readonly method: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: AsyncIterable<Uint8Array>;
  /** The listener runs at once when the client has gone already. */
  readonly onClientGone: (listener: () => void) => void;
}

/** A request as handlers see it: routed, its version settled. */
export class ApiRequest {
  readonly method: string;
  /** Without the version prefix. */
  readonly path: string;
  readonly version: ApiVersion;
  readonly query: Query;
  readonly params: Readonly<Record<string, string>>;
  readonly #raw: RawRequest;
  #abort: AbortController | undefined;

  constructor(
    raw: RawRequest,
    target: { readonly path: string; readonly version: ApiVersion; readonly query: string },
    params: Readonly<Record<string, string>>,
  ) {
    this.#raw = raw;
    this.method = raw.method;
    this.path = target.path;
    this.version = target.version;
    this.query = new Query(target.query);
    this.params = params;
  }

  /** A part of the path; routes name theirs. */
  param(name: string): string {
    return this.params[name] ?? '';
  }

  get headers(): IncomingHttpHeaders {
    return this.#raw.headers;
  }

  header(name: string): string | undefined {
    const value = this.#raw.headers[name];
    return Array.isArray(value) ? value[0] : value;
  }

  /** Aborts when the client goes or the server shuts down. For work that only this client wants. */
  get signal(): AbortSignal {
    if (this.#abort === undefined) {
      const abort = new AbortController();
      this.#abort = abort;
      this.#raw.onClientGone(() => abort.abort(new DOMException('the client has closed the connection', 'AbortError')));
    }
    return this.#abort.signal;
  }

  /** The body as it arrives. Reading slowly holds the client back. */
  get body(): AsyncIterable<Uint8Array> {
    return this.#raw.body;
  }

  /** The JSON body; undefined when there is none. Rejects with InvalidArgument when it is no JSON, or not what the decoder takes. */
  async json<T>(decoder: Decoder<T>, name: string): Promise<T | undefined> {
    const body = await this.#readAll();
    if (body === '') return undefined;
    this.#requireJsonType();
    return decodeJson(body, decoder, name);
  }

  /** The JSON body, which must be there. */
  async requireJson<T>(decoder: Decoder<T>, name: string): Promise<T> {
    const value = await this.json(decoder, name);
    if (value === undefined) throw invalidArgument('invalid JSON: got EOF while reading request body');
    return value;
  }

  #requireJsonType(): void {
    const contentType = this.header('content-type') ?? '';
    if (contentType.split(';', 1)[0]?.trim().toLowerCase() !== 'application/json') {
      throw invalidArgument(`unsupported Content-Type header (${contentType}): must be 'application/json'`);
    }
  }

  async #readAll(): Promise<string> {
    const chunks: Uint8Array[] = [];
    let sizeBytes = 0;
    for await (const chunk of this.body) {
      sizeBytes += chunk.length;
      if (sizeBytes > jsonBodyLimitBytes) throw invalidArgument(`request body too large: a JSON body may have ${jsonBodyLimitBytes} bytes`);
      chunks.push(chunk);
    }
    return Buffer.concat(chunks).toString('utf8');
  }
}
