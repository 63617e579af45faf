import { connect, type Socket } from 'node:net';

export interface Answer<T = unknown> {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  /** The parsed body; undefined when it is not JSON. */
  readonly json: T;
}

export interface CallOptions {
  readonly body?: unknown;
  readonly raw?: Blob | Uint8Array<ArrayBuffer> | string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
}

export type Method = 'GET' | 'POST' | 'PUT' | 'DELETE' | 'HEAD';

/** A bare HTTP client for the Engine API on a Unix socket: tests look at what the daemon says, not at what a client library makes of it. */
export class ApiClient {
  readonly socketPath: string;
  readonly version: string;

  constructor(socketPath: string, version = 'v1.51') {
    this.socketPath = socketPath;
    this.version = version;
  }

  /** `path` with its query; `/v1.51` is put before it unless it begins with a version or an underscore. */
  #url(path: string): string {
    return `http://localhost${/^\/(v\d|_)/.test(path) ? '' : `/${this.version}`}${path}`;
  }

  async open(method: Method, path: string, options: CallOptions = {}): Promise<Response> {
    const body = options.raw ?? (options.body === undefined ? undefined : JSON.stringify(options.body));
    return await fetch(this.#url(path), {
      method,
      unix: this.socketPath,
      headers: { ...(options.body === undefined ? {} : { 'Content-Type': 'application/json' }), ...options.headers },
      ...(body === undefined ? {} : { body }),
      ...(options.signal === undefined ? {} : { signal: options.signal }),
      keepalive: false,
    });
  }

  async call<T = unknown>(method: Method, path: string, options: CallOptions = {}): Promise<Answer<T>> {
    const response = await this.open(method, path, options);
    const text = await response.text();
    return { status: response.status, headers: response.headers, text, json: parse(text) as T };
  }

  get = <T = unknown>(path: string, options?: CallOptions): Promise<Answer<T>> => this.call<T>('GET', path, options);
  post = <T = unknown>(path: string, body?: unknown): Promise<Answer<T>> => this.call<T>('POST', path, body === undefined ? {} : { body });
  delete = (path: string): Promise<Answer> => this.call('DELETE', path);

  /** A call that must answer with one of these statuses, 2xx if none is named. */
  async expect<T = unknown>(method: Method, path: string, options: CallOptions & { readonly status?: number } = {}): Promise<T> {
    const answer = await this.call<T>(method, path, options);
    if (options.status === undefined ? answer.status >= 300 : answer.status !== options.status) {
      throw new Error(`${method} ${path} answered ${String(answer.status)}: ${answer.text}`);
    }
    return answer.json;
  }

  /** Upgrades to a raw connection (attach, exec start). */
  async hijack(path: string, body?: unknown): Promise<Hijacked> {
    const payload = body === undefined ? '' : JSON.stringify(body);
    const { pathname, search } = new URL(this.#url(path));
    const socket = connect({ path: this.socketPath, allowHalfOpen: true });
    socket.write(
      `POST ${pathname}${search} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Type: application/json\r\nContent-Length: ${String(payload.length)}\r\n\r\n${payload}`,
    );
    return await Hijacked.afterHead(socket);
  }
}

/** A raw connection after its response head. Everything received is kept. */
export class Hijacked implements Disposable {
  readonly status: number;
  readonly head: string;
  readonly #socket: Socket;
  readonly #chunks: Buffer[] = [];
  readonly closed: Promise<void>;

  private constructor(socket: Socket, head: string, rest: Buffer) {
    this.#socket = socket;
    this.head = head;
    this.status = Number(head.split(' ')[1]);
    if (rest.length > 0) this.#chunks.push(rest);
    socket.on('data', chunk => this.#chunks.push(Buffer.from(chunk)));
    this.closed = new Promise(resolve => {
      socket.once('end', resolve);
      socket.once('close', () => resolve());
      socket.once('error', () => resolve());
    });
  }

  static async afterHead(socket: Socket): Promise<Hijacked> {
    let seen = Buffer.alloc(0);
    return await new Promise((resolve, reject) => {
      const onData = (chunk: Buffer | string): void => {
        seen = Buffer.concat([seen, Buffer.from(chunk)]);
        const end = seen.indexOf('\r\n\r\n');
        if (end < 0) return;
        socket.off('data', onData);
        resolve(new Hijacked(socket, seen.subarray(0, end).toString(), seen.subarray(end + 4)));
      };
      socket.on('data', onData);
      socket.once('error', reject);
      socket.once('end', () => reject(new Error(`connection closed within the response head: ${seen.toString()}`)));
    });
  }

  write(data: string | Uint8Array): void {
    this.#socket.write(data);
  }

  /** Half-close: end of input, output goes on. */
  end(): void {
    this.#socket.end();
  }

  /** Stops reading, so that what is sent piles up on the way here. */
  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  raw(): Buffer {
    return Buffer.concat(this.#chunks);
  }

  /** What arrived so far, the frames of the non-TTY stream taken apart. */
  streams(): { stdout: string; stderr: string } {
    return splitFrames(this.raw());
  }

  [Symbol.dispose](): void {
    this.#socket.destroy();
  }
}

/** Takes a multiplexed stream apart: 8 bytes of header (stream, three zeros, length), then the payload. */
export function splitFrames(data: Uint8Array): { stdout: string; stderr: string } {
  const buffer = Buffer.from(data);
  const parts: { 1: Buffer[]; 2: Buffer[] } = { 1: [], 2: [] };
  for (let at = 0; at + 8 <= buffer.length; ) {
    const length = buffer.readUInt32BE(at + 4);
    const stream = buffer[at] === 2 ? 2 : 1;
    parts[stream].push(buffer.subarray(at + 8, at + 8 + length));
    at += 8 + length;
  }
  return { stdout: Buffer.concat(parts[1]).toString(), stderr: Buffer.concat(parts[2]).toString() };
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}
