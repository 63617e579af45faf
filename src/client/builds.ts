import type { JsonMessage } from '#api/types/image.ts';
import type { BuildCacheRecord } from '#api/types/system.ts';
import { isBefore } from '#api/versions.ts';
import { type Connection, parseVersion, type Query } from './connection.ts';
import { encodeFilters, type Filters } from './filters.ts';
import { readJsonLines } from './json-stream.ts';

interface Signalled {
  readonly signal?: AbortSignal | undefined;
}

export interface BuildOptions extends Signalled {
  /** The parameters of `POST /build`, as the API names them. */
  readonly query: Query;
  /** The context: a tar archive, in any compression. */
  readonly context: ReadableStream<Uint8Array> | Blob;
  /** The header with credentials for registries. */
  readonly registryConfig: string;
}

export interface BuildPruneResponse {
  readonly CachesDeleted: readonly string[] | null;
  readonly SpaceReclaimed: number;
}

export class Builds {
  readonly #connection: Connection;

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  /** Has the daemon build an image. What it says comes as it happens; when the signal aborts, the daemon gives the build up. */
  async build({ query, context, registryConfig, signal }: BuildOptions): Promise<AsyncGenerator<JsonMessage>> {
    const response = await this.#connection.send('POST', '/build', {
      query,
      headers: { 'Content-Type': 'application/x-tar', 'X-Registry-Config': registryConfig },
      body: context,
      signal,
    });
    return readJsonLines(response.body);
  }

  /** Ends a build that was given this id (`buildid`). One that has ended already is left alone. */
  async cancel(id: string): Promise<void> {
    await this.#connection.run('POST', '/build/cancel', { query: { id } });
  }

  async cache({ signal }: Signalled = {}): Promise<readonly BuildCacheRecord[]> {
    const usage = await this.#connection.json<{ BuildCache?: BuildCacheRecord[] | null }>('GET', '/system/df', {
      query: { type: 'build-cache' },
      signal,
    });
    return usage.BuildCache ?? [];
  }

  async prune(
    options: {
      all?: boolean;
      reservedBytes?: number | undefined;
      maxUsedBytes?: number | undefined;
      minFreeBytes?: number | undefined;
      filters?: Filters;
    } & Signalled = {},
  ): Promise<BuildPruneResponse> {
    const { all, reservedBytes, maxUsedBytes, minFreeBytes, filters, signal } = options;
    const isOld = isBefore(parseVersion(await this.#connection.apiVersion(signal)), '1.48');
    const query = {
      all: all === true ? true : undefined,
      [isOld ? 'keep-storage' : 'reserved-space']: reservedBytes,
      'max-used-space': maxUsedBytes,
      'min-free-space': minFreeBytes,
      filters: encodeFilters(filters),
    };
    return await this.#connection.json('POST', '/build/prune', { query, signal });
  }
}
