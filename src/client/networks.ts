import type { EndpointSettings, Network, NetworkCreateRequest, NetworkCreateResponse, NetworkPruneResponse } from '#api/types/network.ts';
import type { Connection } from './connection.ts';
import { encodeFilters, type Filters } from './filters.ts';

interface Signalled {
  readonly signal?: AbortSignal | undefined;
}

const at = (id: string, rest = ''): string => `/networks/${encodeURIComponent(id)}${rest}`;

export class Networks {
  readonly #connection: Connection;

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  async list({ filters, signal }: { filters?: Filters } & Signalled = {}): Promise<Network[]> {
    return await this.#connection.json('GET', '/networks', { query: { filters: encodeFilters(filters) }, signal });
  }

  async inspect(id: string, { verbose, scope, signal }: { verbose?: boolean; scope?: string } & Signalled = {}): Promise<Network> {
    return await this.#connection.json('GET', at(id), { query: { verbose: verbose === true ? true : undefined, scope }, signal });
  }

  async create(request: NetworkCreateRequest, { signal }: Signalled = {}): Promise<NetworkCreateResponse> {
    return await this.#connection.json('POST', '/networks/create', { json: request, signal });
  }

  async connect(network: string, container: string, endpoint: EndpointSettings | undefined, { signal }: Signalled = {}): Promise<void> {
    await this.#connection.run('POST', at(network, '/connect'), {
      json: { Container: container, EndpointConfig: endpoint ?? null },
      signal,
    });
  }

  async disconnect(network: string, container: string, force: boolean, { signal }: Signalled = {}): Promise<void> {
    await this.#connection.run('POST', at(network, '/disconnect'), { json: { Container: container, Force: force }, signal });
  }

  async remove(id: string, { signal }: Signalled = {}): Promise<void> {
    await this.#connection.run('DELETE', at(id), { signal });
  }

  async prune(filters: Filters, { signal }: Signalled = {}): Promise<NetworkPruneResponse> {
    return await this.#connection.json('POST', '/networks/prune', { query: { filters: encodeFilters(filters) }, signal });
  }
}
