import { connectionError, daemonError } from './errors.ts';
import type { SocketAddress } from './socket-address.ts';

/** A raw stream in both directions that began as an HTTP request. */
export interface HijackedStream extends AsyncDisposable {
  /** True when output carries the 8-byte frame headers whatever the request said; false for a daemon that does not say. */
  readonly contentType: string;
  /** Bytes from the daemon, until it ends the stream. Reading slowly holds the daemon back. */
  readonly output: AsyncIterable<Uint8Array>;
  /** Resolves when the bytes have left or are small enough to wait in memory. */
  write(chunk: Uint8Array): Promise<void>;
  /** Half-close: the other side sees end of input, output goes on. */
  closeWrite(): void;
  close(): void;
}

export interface HijackOptions {
  readonly upgrade: string;
  readonly signal?: AbortSignal | undefined;
}

const highWaterBytes = 1 << 20;
const headEnd = new Uint8Array([13, 10, 13, 10]);

/** Sends the POST and waits for the 101. Any other status rejects as the daemon's error. */
export async function hijack(
  address: SocketAddress,
  path: string,
  headers: Readonly<Record<string, string>>,
  json: unknown,
  options: HijackOptions,
): Promise<HijackedStream> {
  const channel = new Channel();
  const body = json === undefined ? '' : JSON.stringify(json);
  const lines = [
    `POST ${address.basePath ?? ''}${path} HTTP/1.1`,
    `Host: ${address.hostname ?? 'localhost'}`,
    ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`),
    'Connection: Upgrade',
    `Upgrade: ${options.upgrade}`,
    ...(body === '' ? [] : ['Content-Type: application/json']),
    `Content-Length: ${Buffer.byteLength(body)}`,
  ];
  try {
    await channel.open(address);
  } catch (err) {
    throw connectionError(address.host, err);
  }
  const abort = (): void => channel.close();
  options.signal?.addEventListener('abort', abort, { once: true });
  try {
    await channel.write(Buffer.from(`${lines.join('\r\n')}\r\n\r\n${body}`));
    const head = await channel.readHead();
    options.signal?.throwIfAborted();
    const [statusLine = '', ...fields] = head.split('\r\n');
    const status = Number(statusLine.split(' ')[1] ?? 0);
    const field = (name: string): string | null =>
      fields
        .find(line => line.toLowerCase().startsWith(`${name}:`))
        ?.slice(name.length + 1)
        .trim() ?? null;
    if (status !== 101) {
      const text = await channel.readBody(Number(field('content-length') ?? -1), field('transfer-encoding') === 'chunked');
      channel.close();
      if (status === 200)
        throw daemonError(status, statusLine, 'text/plain', `unable to upgrade to ${options.upgrade}, received ${status}`);
      throw daemonError(status, statusLine.split(' ').slice(2).join(' '), field('content-type'), text);
    }
    return channel.asStream(field('content-type') ?? '');
  } catch (err) {
    channel.close();
    throw err;
  } finally {
    options.signal?.removeEventListener('abort', abort);
  }
}

/** A connection to the daemon's socket with nothing said on it yet. */
export async function openRaw(address: SocketAddress): Promise<HijackedStream> {
  const channel = new Channel();
  try {
    await channel.open(address);
  } catch (err) {
    throw connectionError(address.host, err);
  }
  return channel.asStream('');
}

/** One socket: a queue of what came, and what still has to leave. */
class Channel {
  #socket: Bun.Socket | undefined;
  #received: Uint8Array[] = [];
  #receivedBytes = 0;
  #paused = false;
  #ended = false;
  #error: Error | undefined;
  #wake: (() => void) | undefined;
  #unsent: Uint8Array[] = [];
  #unsentBytes = 0;
  #drained: (() => void)[] = [];
  #closeAfterDrain = false;

  async open(address: SocketAddress): Promise<void> {
    const socket: Bun.SocketHandler<undefined> = {
      data: (_socket, data) => this.#receive(data),
      drain: () => this.#flush(),
      end: () => this.#finish(),
      close: () => this.#finish(),
      error: (_socket, error) => {
        this.#error = error;
        this.#finish();
      },
    };
    this.#socket =
      address.unix === undefined
        ? await Bun.connect({
            hostname: address.hostname ?? '',
            port: address.port ?? 0,
            allowHalfOpen: true,
            socket,
            ...(address.tls === undefined ? {} : { tls: { ...address.tls, serverName: address.hostname ?? '' } }),
          })
        : await Bun.connect({ unix: address.unix, allowHalfOpen: true, socket });
  }

  #receive(data: Uint8Array): void {
    // The buffer belongs to the socket and is used again.
    this.#received.push(data.slice());
    this.#receivedBytes += data.length;
    if (this.#receivedBytes > highWaterBytes && !this.#paused) {
      this.#paused = true;
      this.#socket?.pause();
    }
    this.#wake?.();
  }

  #finish(): void {
    this.#ended = true;
    this.#wake?.();
    for (const done of this.#drained.splice(0)) done();
  }

  #flush(): void {
    for (;;) {
      const chunk = this.#unsent[0];
      if (chunk === undefined || this.#socket === undefined) break;
      const sent = this.#socket.write(chunk);
      if (sent < 0) break;
      this.#unsentBytes -= sent;
      if (sent < chunk.length) {
        this.#unsent[0] = chunk.subarray(sent);
        return;
      }
      this.#unsent.shift();
    }
    for (const done of this.#drained.splice(0)) done();
    if (this.#closeAfterDrain) this.#socket?.shutdown();
  }

  async write(chunk: Uint8Array): Promise<void> {
    if (this.#ended || chunk.length === 0) return;
    this.#unsent.push(chunk.slice());
    this.#unsentBytes += chunk.length;
    if (this.#unsent.length === 1) this.#flush();
    if (this.#unsentBytes > 0) await new Promise<void>(resolve => this.#drained.push(resolve));
  }

  closeWrite(): void {
    if (this.#unsentBytes > 0) this.#closeAfterDrain = true;
    else this.#socket?.shutdown();
  }

  close(): void {
    this.#ended = true;
    this.#socket?.end();
    this.#socket?.terminate();
    this.#wake?.();
  }

  async #next(): Promise<Uint8Array | undefined> {
    while (this.#received.length === 0) {
      if (this.#error !== undefined) throw this.#error;
      if (this.#ended) return undefined;
      await new Promise<void>(resolve => {
        this.#wake = resolve;
      });
      this.#wake = undefined;
    }
    const chunk = this.#received.shift();
    this.#receivedBytes -= chunk?.length ?? 0;
    if (this.#paused && this.#receivedBytes < highWaterBytes / 2) {
      this.#paused = false;
      this.#socket?.resume();
    }
    return chunk;
  }

  #unread(chunk: Uint8Array): void {
    if (chunk.length === 0) return;
    this.#received.unshift(chunk);
    this.#receivedBytes += chunk.length;
  }

  async readHead(): Promise<string> {
    let seen: Buffer = Buffer.alloc(0);
    for (;;) {
      const chunk = await this.#next();
      if (chunk === undefined) throw new Error('the daemon closed the connection before it answered');
      seen = Buffer.concat([seen, chunk]);
      const end = seen.indexOf(headEnd);
      if (end >= 0) {
        this.#unread(seen.subarray(end + 4));
        return seen.subarray(0, end).toString('latin1');
      }
    }
  }

  async readBody(length: number, chunked: boolean): Promise<string> {
    const parts: Uint8Array[] = [];
    let total = 0;
    while (length < 0 || total < length) {
      const chunk = await this.#next();
      if (chunk === undefined) break;
      parts.push(chunk);
      total += chunk.length;
      if (chunked && Buffer.from(chunk).toString('latin1').endsWith('0\r\n\r\n')) break;
    }
    const text = Buffer.concat(parts).toString('utf8');
    return chunked ? text.replace(/(?:^|\r\n)[0-9a-fA-F]+\r\n/g, '') : text;
  }

  async *#chunks(): AsyncGenerator<Uint8Array> {
    for (;;) {
      const chunk = await this.#next();
      if (chunk === undefined) return;
      yield chunk;
    }
  }

  asStream(contentType: string): HijackedStream {
    return {
      contentType,
      output: { [Symbol.asyncIterator]: () => this.#chunks() },
      write: chunk => this.write(chunk),
      closeWrite: () => this.closeWrite(),
      close: () => this.close(),
      [Symbol.asyncDispose]: async () => this.close(),
    };
  }
}
