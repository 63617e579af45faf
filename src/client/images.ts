import type { Platform } from '#api/types/common.ts';
import type {
  ImageDeleteItem,
  ImageHistoryItem,
  ImageInspect,
  ImagePruneResponse,
  ImageSearchItem,
  ImageSummary,
  JsonMessage,
} from '#api/types/image.ts';
import type { Connection } from './connection.ts';
import { bodyOf } from './containers.ts';
import { encodeFilters, type Filters } from './filters.ts';
import { readJsonLines } from './json-stream.ts';

interface Signalled {
  readonly signal?: AbortSignal | undefined;
}

interface WithPlatform extends Signalled {
  readonly platform?: Platform | undefined;
}

const at = (name: string, rest = ''): string => `/images/${name.split('/').map(encodeURIComponent).join('/')}${rest}`;
const platformText = (platform: Platform | undefined): string | undefined =>
  platform === undefined ? undefined : JSON.stringify(platform);

export class Images {
  readonly #connection: Connection;

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  async list({
    all,
    filters,
    sharedSize,
    manifests,
    signal,
  }: { all?: boolean; filters?: Filters; sharedSize?: boolean; manifests?: boolean } & Signalled = {}): Promise<ImageSummary[]> {
    const query = {
      all: all === true ? true : undefined,
      filters: encodeFilters(filters),
      'shared-size': sharedSize === true ? true : undefined,
      manifests: manifests === true ? true : undefined,
    };
    return await this.#connection.json('GET', '/images/json', { query, signal });
  }

  async inspect(name: string, { platform, signal }: WithPlatform = {}): Promise<ImageInspect> {
    return await this.#connection.json('GET', at(name, '/json'), { query: { platform: platformText(platform) }, signal });
  }

  async history(name: string, { platform, signal }: WithPlatform = {}): Promise<ImageHistoryItem[]> {
    return await this.#connection.json('GET', at(name, '/history'), { query: { platform: platformText(platform) }, signal });
  }

  async tag(source: string, repo: string, tag: string, { signal }: Signalled = {}): Promise<void> {
    await this.#connection.run('POST', at(source, '/tag'), { query: { repo, tag }, signal });
  }

  async remove(
    name: string,
    { force, noPrune, platforms, signal }: { force?: boolean; noPrune?: boolean; platforms?: readonly Platform[] } & Signalled = {},
  ): Promise<ImageDeleteItem[]> {
    const query = {
      force: force === true ? true : undefined,
      noprune: noPrune === true ? true : undefined,
      platforms: platforms?.map(platform => JSON.stringify(platform)),
    };
    return await this.#connection.json('DELETE', at(name), { query, signal });
  }

  async prune(filters: Filters, { signal }: Signalled = {}): Promise<ImagePruneResponse> {
    return await this.#connection.json('POST', '/images/prune', { query: { filters: encodeFilters(filters) }, signal });
  }

  async pull(
    image: string,
    tag: string,
    { platform, registryAuth, signal }: { platform?: string | undefined; registryAuth?: string | undefined } & Signalled = {},
  ): Promise<AsyncGenerator<JsonMessage>> {
    const response = await this.#connection.send('POST', '/images/create', {
      query: { fromImage: image, tag, platform: platform === '' ? undefined : platform?.toLowerCase() },
      headers: registryAuth === undefined ? {} : { 'X-Registry-Auth': registryAuth },
      signal,
    });
    return readJsonLines(response.body);
  }

  async push(
    name: string,
    { tag, platform, registryAuth, signal }: { tag?: string | undefined; registryAuth: string } & WithPlatform,
  ): Promise<AsyncGenerator<JsonMessage>> {
    const response = await this.#connection.send('POST', at(name, '/push'), {
      query: { tag, platform: platformText(platform) },
      headers: { 'X-Registry-Auth': registryAuth },
      signal,
    });
    return readJsonLines(response.body);
  }

  /** Whether the answer is a stream of JSON objects is for its content type to say. */
  async load(
    input: ReadableStream<Uint8Array> | Blob,
    { quiet, platforms, signal }: { quiet?: boolean; platforms?: readonly Platform[] } & Signalled = {},
  ): Promise<{ json: boolean; body: ReadableStream<Uint8Array> }> {
    const response = await this.#connection.send('POST', '/images/load', {
      // Daemons that hear nothing of it say little.
      query: { quiet: quiet === true, platform: platforms?.map(platform => JSON.stringify(platform)) },
      headers: { 'Content-Type': 'application/x-tar' },
      body: input,
      signal,
    });
    return { json: response.headers.get('content-type')?.startsWith('application/json') ?? false, body: bodyOf(response) };
  }

  async save(
    names: readonly string[],
    { platforms, signal }: { platforms?: readonly Platform[] } & Signalled = {},
  ): Promise<ReadableStream<Uint8Array>> {
    const query = { names, platform: platforms?.map(platform => JSON.stringify(platform)) };
    return bodyOf(await this.#connection.send('GET', '/images/get', { query, signal }));
  }

  async importTar(
    source: string,
    input: ReadableStream<Uint8Array> | Blob | undefined,
    options: {
      repo?: string | undefined;
      tag?: string | undefined;
      message?: string;
      changes?: readonly string[];
      platform?: string;
    } & Signalled = {},
  ): Promise<AsyncGenerator<JsonMessage>> {
    const { repo, tag, message, changes, platform, signal } = options;
    const response = await this.#connection.send('POST', '/images/create', {
      query: {
        fromSrc: source,
        repo,
        tag,
        message: message === '' ? undefined : message,
        changes,
        platform: platform === '' ? undefined : platform?.toLowerCase(),
      },
      ...(input === undefined ? {} : { body: input }),
      headers: { 'Content-Type': 'application/octet-stream' },
      signal,
    });
    return readJsonLines(response.body);
  }

  async search(
    term: string,
    { limit, filters, registryAuth, signal }: { limit?: number; filters?: Filters; registryAuth?: string | undefined } & Signalled = {},
  ): Promise<ImageSearchItem[]> {
    return await this.#connection.json('GET', '/images/search', {
      query: { term, limit: limit === undefined || limit <= 0 ? undefined : limit, filters: encodeFilters(filters) },
      headers: registryAuth === undefined ? {} : { 'X-Registry-Auth': registryAuth },
      signal,
    });
  }
}
