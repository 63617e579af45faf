import type { AuthConfig, AuthResponse } from '#api/types/auth.ts';
import type { EventMessage } from '#api/types/event.ts';
import type { DiskUsage, SystemInfo, SystemVersion } from '#api/types/system.ts';
import type { JsonMessage } from '#api/types/image.ts';
import type { Connection } from './connection.ts';
import { encodeFilters, type Filters } from './filters.ts';
import { keepIntegers, readJsonLines } from './json-stream.ts';

interface Signalled {
  readonly signal?: AbortSignal | undefined;
}

/** Nanoseconds lie beyond the integers that a number holds exactly. */
export type ExactEvent = Omit<EventMessage, 'timeNano'> & { readonly timeNano: number | bigint };

export class System {
  readonly #connection: Connection;

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  async version({ signal }: Signalled = {}): Promise<SystemVersion> {
    return await this.#connection.json('GET', '/version', { signal });
  }

  async info({ signal }: Signalled = {}): Promise<SystemInfo> {
    return await this.#connection.json('GET', '/info', { signal });
  }

  async diskUsage({ types, signal }: { types?: readonly string[] } & Signalled = {}): Promise<DiskUsage> {
    return await this.#connection.json('GET', '/system/df', { query: { type: types }, signal });
  }

  async events(
    options: { since?: string | undefined; until?: string | undefined; filters?: Filters } & Signalled = {},
  ): Promise<AsyncGenerator<ExactEvent>> {
    const { since, until, filters, signal } = options;
    const response = await this.#connection.send('GET', '/events', { query: { since, until, filters: encodeFilters(filters) }, signal });
    return readJsonLines(response.body, keepIntegers);
  }

  /** Has the daemon look for damage in its store. The report (VerifiedStore) is in the last message, as `aux`. Only Berth's daemon can. */
  async verify({
    heal,
    registryConfig,
    signal,
  }: { readonly heal: boolean; readonly registryConfig: string } & Signalled): Promise<AsyncGenerator<JsonMessage>> {
    const headers = { 'X-Registry-Config': registryConfig };
    const response = await this.#connection.send('POST', '/berth/system/verify', { query: { heal }, headers, signal });
    return readJsonLines(response.body);
  }

  /** Checks credentials against a registry, through the daemon. */
  async authenticate(auth: AuthConfig, { signal }: Signalled = {}): Promise<AuthResponse | undefined> {
    return await this.#connection.json('POST', '/auth', { json: auth, signal });
  }
}
