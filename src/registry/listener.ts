import { unavailable } from '#base/errors.ts';
import type { Handler } from './handler.ts';
import { refusal, refusalBody } from './refusal.ts';

export interface TlsFiles {
  readonly cert: string;
  readonly key: string;
  /** Clients have to show a certificate that one of these has signed. */
  readonly clientCas: readonly string[];
}

export interface ListenerOptions {
  readonly hostname: string;
  readonly port: number;
  readonly tls: TlsFiles | undefined;
  readonly handler: Handler;
  /** After so long without a byte a connection is closed. */
  readonly idleSeconds: number;
}

/** The address clients connect to. */
export class Listener {
  readonly #options: ListenerOptions;
  #server: Bun.Server<undefined>;
  readonly #draining = new Set<Promise<void>>();

  constructor(options: ListenerOptions) {
    this.#options = options;
    this.#server = this.#listen(options.tls === undefined ? options.port : this.#freePort(), options.tls);
  }

  /** The port that was asked for, if nobody has it: with `reusePort` the kernel would let two registries share it. */
  #freePort(): number {
    const { hostname, port } = this.#options;
    try {
      const probe = Bun.serve({ hostname, port, fetch: () => new Response() });
      const found = probe.port ?? port;
      void probe.stop(true);
      return found;
    } catch (err) {
      throw cannotListen(hostname, port, err);
    }
  }

  get port(): number {
    return this.#server.port ?? 0;
  }

  #listen(port: number, tls: TlsFiles | undefined): Bun.Server<undefined> {
    const { hostname, handler, idleSeconds } = this.#options;
    const scheme = tls === undefined ? 'http' : 'https';
    try {
      return Bun.serve({
        hostname,
        port,
        // So that new certificates can be put beside the old ones: see `reload`.
        reusePort: tls !== undefined,
        idleTimeout: idleSeconds,
        maxRequestBodySize: Number.MAX_SAFE_INTEGER,
        development: false,
        ...(tls !== undefined && {
          tls: {
            cert: tls.cert,
            key: tls.key,
            ...(tls.clientCas.length > 0 && { ca: [...tls.clientCas], requestCert: true, rejectUnauthorized: true }),
          },
        }),
        fetch: (request, server) =>
          handler.handle(request, {
            scheme,
            remoteAddress: () => addressText(server.requestIP(request)),
            waitLonger: () => server.timeout(request, 0),
          }),
        error: () => new Response(refusalBody(refusal('UNKNOWN')), { status: 500, headers: { 'Content-Type': 'application/json' } }),
      });
    } catch (err) {
      throw unavailable(`cannot listen on ${hostname}:${String(port)}: ${err instanceof Error ? err.message : String(err)}`, {
        cause: err,
      });
    }
  }

  /** New connections get these certificates; those there are go on with theirs. */
  reload(tls: TlsFiles): void {
    const next = this.#listen(this.port, tls);
    const done = this.#server.stop(false).finally(() => this.#draining.delete(done));
    this.#draining.add(done);
    this.#server = next;
  }

  /** No new connections; waits for the answers that are under way, then closes what is left. */
  async close(timeoutMs: number): Promise<void> {
    const ended = Promise.all([this.#server.stop(false), ...this.#draining]);
    await Promise.race([ended, Bun.sleep(timeoutMs)]);
    await this.#server.stop(true);
  }
}

const cannotListen = (hostname: string, port: number, err: unknown): Error =>
  unavailable(`cannot listen on ${hostname}:${String(port)}: ${err instanceof Error ? err.message : String(err)}`, { cause: err });

const addressText = (address: { readonly address: string; readonly port: number; readonly family: string } | null): string => {
  if (address === null) return '';
  return address.family === 'IPv6' ? `[${address.address}]:${String(address.port)}` : `${address.address}:${String(address.port)}`;
};
