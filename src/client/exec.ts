import type { IdResponse } from '#api/types/common.ts';
import type { ExecCreateRequest, ExecInspect, ExecStartRequest } from '#api/types/exec.ts';
import type { Connection } from './connection.ts';
import type { HijackedStream } from './hijack.ts';

interface Signalled {
  readonly signal?: AbortSignal | undefined;
}

export class Execs {
  readonly #connection: Connection;

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  async create(container: string, request: ExecCreateRequest, { signal }: Signalled = {}): Promise<string> {
    const { Id } = await this.#connection.json<IdResponse>('POST', `/containers/${encodeURIComponent(container)}/exec`, {
      json: request,
      signal,
    });
    return Id;
  }

  async startDetached(id: string, request: ExecStartRequest, { signal }: Signalled = {}): Promise<void> {
    await this.#connection.run('POST', `/exec/${id}/start`, { json: { ...request, Detach: true }, signal });
  }

  async start(id: string, request: ExecStartRequest, { signal }: Signalled = {}): Promise<HijackedStream> {
    return await this.#connection.hijack(`/exec/${id}/start`, { json: request, signal });
  }

  async inspect(id: string, { signal }: Signalled = {}): Promise<ExecInspect> {
    return await this.#connection.json('GET', `/exec/${id}/json`, { signal });
  }

  async resize(id: string, size: { height: number; width: number }, { signal }: Signalled = {}): Promise<void> {
    await this.#connection.run('POST', `/exec/${id}/resize`, { query: { h: size.height, w: size.width }, signal });
  }
}
