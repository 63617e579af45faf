import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { EngineError, failedPrecondition, messageOf, unavailable } from '#base/errors.ts';
import type { PluginAddress } from './discovery.ts';

/** What Docker's daemons send and plugins answer. */
const mediaType = 'application/vnd.docker.plugins.v1.2+json';

/** How long a plugin that listens nowhere is waited for: it may be starting anew. */
const restartMs = 2000;
const firstPauseMs = 50;

export interface CallOptions {
  readonly timeoutMs: number;
  /** Whether to wait for a plugin that listens nowhere. Default: true. */
  readonly isPatient?: boolean;
}

/**
 * A process that speaks Docker's plugin protocol: HTTP requests with JSON to `/<Interface>.<Method>` at its socket (docs.docker.com/engine/extend/plugin_api). An
 * answer with a text in `Err` is a refusal.
 */
export class PluginClient {
  readonly address: PluginAddress;
  #activated: Promise<readonly string[]> | undefined;

  constructor(address: PluginAddress) {
    this.address = address;
  }

  /** The interfaces that the plugin says it has; asked once. */
  async interfaces(options: CallOptions): Promise<readonly string[]> {
    this.#activated ??= this.call<{ readonly Implements?: readonly string[] | null }>('Plugin.Activate', {}, options).then(
      ({ Implements }) => Implements ?? [],
    );
    try {
      return await this.#activated;
    } catch (err) {
      this.#activated = undefined;
      throw err;
    }
  }

  /** Rejects with FailedPrecondition for what the plugin refuses, with Unavailable when it is not there, breaks off or takes too long. */
  async call<T extends object>(method: string, body: object, { timeoutMs, isPatient = true }: CallOptions): Promise<T> {
    const startedAt = performance.now();
    for (let pauseMs = firstPauseMs; ; pauseMs *= 2) {
      try {
        return await this.#request<T>(method, body, timeoutMs);
      } catch (err) {
        // Nothing was sent when nobody listens: asking again does nothing twice.
        const isOver = performance.now() - startedAt + pauseMs > restartMs;
        if (!(err instanceof NobodyListens)) throw err;
        if (!isPatient || isOver)
          throw unavailable(`${err.message} (${method}): start it, or remove ${this.address.source}`, { cause: err.cause });
      }
      await delay(pauseMs);
    }
  }

  async #request<T extends object>(method: string, body: object, timeoutMs: number): Promise<T> {
    const { name, at } = this.address;
    const signal = AbortSignal.timeout(timeoutMs);
    let text: string;
    let status: number;
    try {
      const answer = await fetch(`${'url' in at ? at.url : 'http://plugin'}/${method}`, {
        method: 'POST',
        headers: { 'Content-Type': mediaType, Accept: mediaType },
        body: JSON.stringify(body),
        signal,
        redirect: 'error',
        // A plugin that was restarted has closed what was open.
        keepalive: false,
        proxy: '',
        ...('socket' in at ? { unix: at.socket } : {}),
        ...('url' in at && at.tls !== undefined ? { tls: tlsOf(at.tls) } : {}),
      } as RequestInit);
      status = answer.status;
      text = await answer.text();
    } catch (err) {
      const where = 'socket' in at ? at.socket : at.url;
      if (isRefused(err)) throw new NobodyListens(`plugin "${name}" does not listen at ${where}`, { cause: err });
      const what = signal.aborted ? `did not answer within ${String(timeoutMs / 1000)} s` : `broke off: ${messageOf(err)}`;
      throw unavailable(`plugin "${name}" at ${where}: ${method} ${what}`, { cause: err });
    }
    return this.#answer<T>(method, status, text);
  }

  #answer<T extends object>(method: string, status: number, text: string): T {
    const { name } = this.address;
    let answer: { readonly Err?: unknown } | undefined;
    try {
      answer = text.trim() === '' ? {} : (JSON.parse(text) as { readonly Err?: unknown });
    } catch {
      answer = undefined;
    }
    if (status === 404) throw new MissingMethod(`plugin "${name}" has no ${method}`);
    const refusal = typeof answer?.Err === 'string' && answer.Err !== '' ? answer.Err : undefined;
    if (refusal !== undefined) throw new EngineError('FailedPrecondition', `${method}: ${refusal}`);
    if (status !== 200) throw failedPrecondition(`plugin "${name}": ${method} answered ${String(status)}: ${text.trim().slice(0, 200)}`);
    if (answer === undefined || answer === null || typeof answer !== 'object')
      throw failedPrecondition(`plugin "${name}": ${method} answered with no JSON object`);
    return answer as T;
  }
}

class NobodyListens extends Error {}

/** The plugin does not know the method: some need not be known. */
export class MissingMethod extends EngineError {
  constructor(message: string) {
    super('FailedPrecondition', message);
  }
}

function isRefused(err: unknown): boolean {
  const code = (err as { readonly code?: unknown } | null)?.code;
  return ['ECONNREFUSED', 'ENOENT', 'ConnectionRefused', 'FailedToOpenSocket'].includes(String(code));
}

function tlsOf(tls: { readonly insecure: boolean; readonly ca: string; readonly certificate: string; readonly key: string }) {
  const read = (file: string): string | undefined => (file === '' ? undefined : readFileSync(file, 'utf8'));
  return { rejectUnauthorized: !tls.insecure, ca: read(tls.ca), cert: read(tls.certificate), key: read(tls.key) };
}
