import type { Volume, VolumeCreateRequest, VolumeListResponse, VolumePruneResponse } from '#api/types/volume.ts';
import type { Connection } from './connection.ts';
import { encodeFilters, type Filters } from './filters.ts';

interface Signalled {
  readonly signal?: AbortSignal | undefined;
}

const at = (name: string): string => `/volumes/${encodeURIComponent(name)}`;

export class Volumes {
  readonly #connection: Connection;

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  async list({ filters, signal }: { filters?: Filters } & Signalled = {}): Promise<VolumeListResponse> {
    return await this.#connection.json('GET', '/volumes', { query: { filters: encodeFilters(filters) }, signal });
  }

  async inspect(name: string, { signal }: Signalled = {}): Promise<Volume> {
    return await this.#connection.json('GET', at(name), { signal });
  }

  async create(request: VolumeCreateRequest, { signal }: Signalled = {}): Promise<Volume> {
    return await this.#connection.json('POST', '/volumes/create', { json: request, signal });
  }

  async remove(name: string, { force, signal }: { force?: boolean } & Signalled = {}): Promise<void> {
    await this.#connection.run('DELETE', at(name), { query: { force: force === true ? true : undefined }, signal });
  }

  async prune(filters: Filters, { signal }: Signalled = {}): Promise<VolumePruneResponse> {
    return await this.#connection.json('POST', '/volumes/prune', { query: { filters: encodeFilters(filters) }, signal });
  }
}
