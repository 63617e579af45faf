import { dataLoss, failedPrecondition } from '#base/errors.ts';
import type { Logger } from '#base/log.ts';
import { type BlobUpload, type RegistryAuth, type RegistryRepository, type RemoteManifest, type RepositoryAccess } from '#core/registry.ts';
import { type Digest, sha256, tryParseDigest } from '#oci/digest.ts';
import { type Descriptor, manifestMediaTypes } from '#oci/manifest.ts';
import type { AuthorizedRequests, Identity } from './authorized-requests.ts';
import type { Endpoint } from './endpoints.ts';
import type { Capability } from './hosts-file.ts';
import { readLimited } from './read-answer.ts';
import { type RangePolicy, readBlob } from './read-blob.ts';
import { ConnectionError, errorOf } from './registry-errors.ts';
import { type RetryPolicy, retry } from './retry.ts';
import type { HttpRequest } from './transport.ts';
import { locationOf, type Send, uploadBlob, withQuery } from './upload-blob.ts';

export interface RepositoryOptions {
  readonly path: string;
  /** Best first. */
  readonly endpoints: () => Promise<readonly Endpoint[]>;
  readonly access: RepositoryAccess;
  readonly requests: AuthorizedRequests;
  readonly retry: RetryPolicy;
  readonly stallTimeoutMs: number;
  readonly ranges: RangePolicy;
  readonly log: Logger;
}

const maxManifestBytes = 4 * 1024 * 1024;
const maxTagPages = 10_000;

export class HttpRepository implements RegistryRepository {
  readonly #options: RepositoryOptions;
  /** The endpoint that answered last: the next request goes there first. */
  #preferred: Endpoint | undefined;
  #endpoints: Promise<readonly Endpoint[]> | undefined;

  constructor(options: RepositoryOptions) {
    this.#options = options;
  }

  async manifest(tagOrDigest: string, signal: AbortSignal): Promise<RemoteManifest> {
    return await this.#anywhere(reading(tagOrDigest), signal, async endpoint => {
      const url = `${this.#base(endpoint)}/manifests/${tagOrDigest}`;
      const response = await this.#ok(endpoint, { method: 'GET', url, headers: { Accept: manifestMediaTypes.join(', ') }, signal });
      const bytes = await readLimited(response, maxManifestBytes, url);
      const named = tryParseDigest(tagOrDigest);
      const claimed = tryParseDigest(response.headers.get('docker-content-digest') ?? '');
      for (const expected of [named, claimed]) if (expected !== undefined) checkManifest(bytes, expected);
      const digest = named ?? claimed ?? sha256(bytes);
      return { bytes, digest, mediaType: response.headers.get('content-type')?.split(';')[0]?.trim() ?? '' };
    });
  }

  async manifestDigest(tagOrDigest: string, signal: AbortSignal): Promise<Digest | undefined> {
    return await this.#anywhere(reading(tagOrDigest), signal, async endpoint => {
      const url = `${this.#base(endpoint)}/manifests/${tagOrDigest}`;
      const response = await this.#ok(endpoint, { method: 'HEAD', url, headers: { Accept: manifestMediaTypes.join(', ') }, signal });
      await response.body?.cancel();
      return tryParseDigest(response.headers.get('docker-content-digest') ?? '');
    });
  }

  async blobSize(digest: Digest, signal: AbortSignal): Promise<number> {
    return await this.#anywhere('pull', signal, async endpoint => {
      const url = `${this.#base(endpoint)}/blobs/${digest}`;
      const response = await this.#ok(endpoint, { method: 'HEAD', url, signal });
      await response.body?.cancel();
      const length = response.headers.get('content-length') ?? '';
      if (!/^\d{1,15}$/.test(length)) throw dataLoss(`blob ${digest}: the registry does not say how long it is`);
      return Number(length);
    });
  }

  async *blob(blob: Pick<Descriptor, 'digest' | 'size'>, signal: AbortSignal, from = 0): AsyncGenerator<Uint8Array, void, undefined> {
    const { retry: policy, stallTimeoutMs } = this.#options;
    const open = (offset: number, end: number | undefined, stop: AbortSignal): Promise<Response> =>
      this.#anywhere(
        'pull',
        stop,
        async endpoint => {
          const url = `${this.#base(endpoint)}/blobs/${blob.digest}`;
          const part: Record<string, string> =
            offset === 0 && end === undefined ? {} : { Range: `bytes=${offset}-${end === undefined ? '' : end - 1}` };
          return await this.#ok(endpoint, { method: 'GET', url, headers: part, signal: stop });
        },
        { attempts: 1, firstPauseMs: 0 },
      );
    yield* readBlob(blob, open, { retry: policy, stallTimeoutMs, signal, from, ranges: this.#options.ranges });
  }

  async hasBlob(digest: Digest, signal: AbortSignal): Promise<boolean> {
    return await this.#anywhere(this.#options.access.actions, signal, async endpoint => {
      const url = `${this.#base(endpoint)}/blobs/${digest}`;
      const response = await this.#send(endpoint, { method: 'HEAD', url, signal });
      if (response.status === 404) return false;
      if (!response.ok) throw await errorOf('HEAD', url, response);
      await response.body?.cancel();
      return true;
    });
  }

  async mountBlob(digest: Digest, from: string, signal: AbortSignal): Promise<boolean> {
    return await this.#anywhere('push', signal, async endpoint => {
      const base = this.#base(endpoint);
      const url = withQuery(withQuery(`${base}/blobs/uploads/`, 'mount', digest), 'from', from);
      const identity = this.#identity([`repository:${from}:pull`]);
      const request: HttpRequest = {
        method: 'POST',
        url,
        headers: { ...endpoint.headers, 'Content-Length': '0' },
        signal,
        tls: endpoint.tls,
      };
      const response = await this.#options.requests.send(request, identity);
      await response.body?.cancel();
      if (response.status === 202) {
        // The registry began an upload instead; it is given back.
        await this.#send(endpoint, { method: 'DELETE', url: locationOf(response, url), signal }).then(
          answer => answer.body?.cancel(),
          () => undefined,
        );
      }
      return response.status === 201;
    });
  }

  async putBlob(upload: BlobUpload, signal: AbortSignal): Promise<void> {
    await this.#anywhere('push', signal, endpoint => {
      const send: Send = request => this.#send(endpoint, { ...request, signal });
      return uploadBlob(send, `${this.#base(endpoint)}/blobs/uploads/`, upload);
    });
  }

  async putManifest(tagOrDigest: string, mediaType: string, bytes: Uint8Array, signal: AbortSignal): Promise<void> {
    await this.#anywhere('push', signal, async endpoint => {
      const url = `${this.#base(endpoint)}/manifests/${tagOrDigest}`;
      const response = await this.#ok(endpoint, { method: 'PUT', url, headers: { 'Content-Type': mediaType }, body: bytes, signal });
      await response.body?.cancel();
      const claimed = tryParseDigest(response.headers.get('docker-content-digest') ?? '');
      if (claimed?.startsWith('sha256:') === true && claimed !== sha256(bytes)) {
        throw dataLoss(`the registry stored another manifest than it was sent: ${claimed} instead of ${sha256(bytes)}`);
      }
    });
  }

  async tags(signal: AbortSignal): Promise<string[]> {
    return await this.#anywhere('resolve', signal, async endpoint => {
      const tags = new Set<string>();
      let url = `${this.#base(endpoint)}/tags/list`;
      for (let page = 0; page < maxTagPages; page += 1) {
        const response = await this.#ok(endpoint, { method: 'GET', url, signal });
        const before = tags.size;
        for (const tag of parseTags(await readLimited(response, maxManifestBytes, url), url)) tags.add(tag);
        const next = /<([^>]+)>\s*;\s*rel="?next"?/.exec(response.headers.get('link') ?? '')?.[1];
        if (next === undefined || tags.size === before) break;
        url = new URL(next, url).href;
      }
      return [...tags];
    });
  }

  #base(endpoint: Endpoint): string {
    return `${endpoint.root}/${this.#options.path}`;
  }

  /**
   * Tries the endpoints in turn: a mirror may fail in any way, plain HTTP is tried only when TLS could not be spoken. What the registry itself
   * says counts, and is tried again only when it may change.
   */
  async #anywhere<T>(
    purpose: Capability,
    signal: AbortSignal,
    action: (endpoint: Endpoint) => Promise<T>,
    policy = this.#options.retry,
  ): Promise<T> {
    const endpoints = (await this.#able(purpose)).toSorted((a, b) => Number(b === this.#preferred) - Number(a === this.#preferred));
    let last: unknown;
    for (const [index, endpoint] of endpoints.entries()) {
      const isLast = index === endpoints.length - 1;
      try {
        const isSure = isLast || endpoint === this.#preferred;
        const result = await (isSure ? retry(policy, signal, () => action(endpoint)) : action(endpoint));
        this.#preferred = endpoint;
        return result;
      } catch (err) {
        signal.throwIfAborted();
        last = err;
        if (endpoint.isMirror) this.#options.log.warn('mirror failed', { mirror: endpoint.root, error: err });
        else if (isLast || !(err instanceof ConnectionError)) throw err;
      }
    }
    throw last;
  }

  /** The endpoints that may be asked for this: a push begins with questions, which only the registry itself can answer. */
  async #able(purpose: Capability): Promise<readonly Endpoint[]> {
    this.#endpoints ??= this.#options.endpoints();
    const { actions } = this.#options.access;
    const able = (await this.#endpoints).filter(
      endpoint =>
        endpoint.capabilities.includes(purpose) && (actions === 'pull' || !endpoint.isMirror || endpoint.capabilities.includes('push')),
    );
    if (able.length === 0) throw failedPrecondition(`no host is configured to ${purpose} ${this.#options.path}: see its hosts.toml`);
    return able;
  }

  async #ok(endpoint: Endpoint, request: HttpRequest): Promise<Response> {
    const response = await this.#send(endpoint, request);
    if (!response.ok) throw await errorOf(request.method, request.url, response);
    return response;
  }

  async #send(endpoint: Endpoint, request: HttpRequest): Promise<Response> {
    const headers = { ...endpoint.headers, ...this.#options.access.headers, ...request.headers };
    const { namespace, tls, root } = endpoint;
    const isOurs = request.url.startsWith(`${root}/`);
    const url = namespace === undefined || !isOurs ? request.url : withQuery(request.url, 'ns', namespace);
    return await this.#options.requests.send({ ...request, url, headers, tls: isOurs ? tls : undefined }, this.#identity([], endpoint));
  }

  #identity(moreScopes: readonly string[], endpoint?: Endpoint): Identity {
    const { path, access } = this.#options;
    const actions = access.actions === 'push' ? 'pull,push' : 'pull';
    // Credentials are for the registry, not for whoever mirrors it.
    const auth: RegistryAuth | undefined = endpoint?.isMirror === true ? undefined : access.auth;
    return { auth: isEmpty(auth) ? undefined : auth, scopes: [`repository:${path}:${actions}`, ...moreScopes] };
  }
}

const reading = (tagOrDigest: string): Capability => (tagOrDigest.includes(':') ? 'pull' : 'resolve');

const isEmpty = (auth: RegistryAuth | undefined): boolean =>
  auth?.keeper === undefined &&
  [auth?.username, auth?.identityToken, auth?.registryToken].every(value => value === undefined || value === '');

function checkManifest(bytes: Uint8Array, expected: Digest): void {
  const algorithm = expected.slice(0, expected.indexOf(':')) as 'sha256';
  const actual = `${algorithm}:${new Bun.CryptoHasher(algorithm).update(bytes).digest('hex')}`;
  if (actual !== expected) throw dataLoss(`manifest verification failed for digest ${expected}: the registry sent ${actual}`);
}

function parseTags(bytes: Uint8Array, url: string): string[] {
  try {
    const { tags } = JSON.parse(new TextDecoder().decode(bytes)) as { tags?: unknown };
    if (tags === null || tags === undefined) return [];
    if (Array.isArray(tags) && tags.every(tag => typeof tag === 'string')) return tags;
  } catch {
    // Reported below.
  }
  throw dataLoss(`Get "${url}": the registry's answer is not a list of tags`);
}
