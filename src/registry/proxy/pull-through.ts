import { kindOf } from '#base/errors.ts';
import { KeyedLock } from '#base/keyed-lock.ts';
import type { Logger } from '#base/log.ts';
import type { RegistryRepository } from '#core/registry.ts';
import type { Digest } from '#oci/digest.ts';
import type { Blobs } from '../blobs.ts';
import type { Catalog } from '../catalog.ts';
import type { Manifests, StoredManifest } from '../manifests.ts';
import type { ManifestReference, Repository, Tag } from '../names.ts';
import { tryParseTag } from '../names.ts';
import { Refusal, refusal } from '../refusal.ts';
import { BlobFlights, type FetchedBlob } from './blob-flights.ts';

/** A registry whose repositories appear here, below a prefix. */
export interface Upstream {
  /** `hub/`: what its repositories' names begin with here; empty for all. */
  readonly prefix: string;
  /** For the log. */
  readonly url: string;
  /** How long what nobody asks for is kept; undefined: always. */
  readonly ttlMs: number | undefined;
  repository(path: string): RegistryRepository;
}

export interface PullThroughOptions {
  readonly upstreams: readonly Upstream[];
  readonly manifests: Manifests;
  readonly blobs: Blobs;
  readonly catalog: Catalog;
  readonly stagingFolder: string;
  readonly log: Logger;
}

/** What upstream says does not exist; everything else it may say leaves what we have in use. */
const isAbsent = (err: unknown): boolean => kindOf(err) === 'NotFound';

/**
 * Serves repositories of other registries and keeps what was asked for. A tag is looked up there each time, since it may have moved; what it
 * names is fetched once. When the other registry cannot be reached, what is here is served.
 */
export class PullThrough {
  readonly #options: PullThroughOptions;
  readonly #flights: BlobFlights;
  readonly #manifestLock = new KeyedLock();
  hits = 0;
  misses = 0;

  constructor(options: PullThroughOptions) {
    this.#options = options;
    this.#flights = new BlobFlights(options);
  }

  covers(name: Repository): boolean {
    return this.#options.upstreams.length > 0 && this.#upstreamOf(name) !== undefined;
  }

  /** How long an unused manifest of this repository is kept; undefined: always. */
  ttlOf(name: Repository): number | undefined {
    return this.#upstreamOf(name)?.ttlMs;
  }

  get fetchedBytes(): number {
    return this.#flights.fetchedBytes;
  }

  #upstreamOf(name: Repository): Upstream | undefined {
    // The longest prefix counts: one upstream may be below another.
    return this.#options.upstreams
      .filter(({ prefix }) => name.startsWith(prefix) && name.length > prefix.length)
      .sort((a, b) => b.prefix.length - a.prefix.length)[0];
  }

  #remote(name: Repository): RegistryRepository {
    const upstream = this.#upstreamOf(name);
    if (upstream === undefined) throw refusal('NAME_UNKNOWN');
    return upstream.repository(name.slice(upstream.prefix.length));
  }

  async manifest(name: Repository, reference: ManifestReference, signal: AbortSignal): Promise<StoredManifest | undefined> {
    const { manifests } = this.#options;
    return await this.#manifestLock.run(`${name} ${JSON.stringify(reference)}`, async () => {
      const local = await manifests.find(name, reference);
      if (local !== undefined && 'digest' in reference) return await this.#hit(name, local);
      try {
        const wanted = 'tag' in reference ? await this.#remote(name).manifestDigest(reference.tag, signal) : reference.digest;
        const known = wanted === undefined ? undefined : await manifests.find(name, { digest: wanted });
        if (known !== undefined) {
          if ('tag' in reference && local?.digest !== known.digest) await manifests.retag(name, reference.tag, known.digest);
          return await this.#hit(name, known);
        }
        return await this.#fetch(name, reference, wanted, signal);
      } catch (err) {
        if (isAbsent(err)) return undefined;
        if (local === undefined) throw this.#unreachable(err);
        this.#options.log.warn('the upstream registry does not answer: what is here is served', { repository: name, error: err });
        return await this.#hit(name, local);
      }
    });
  }

  async #hit(name: Repository, stored: StoredManifest): Promise<StoredManifest> {
    this.hits += 1;
    await this.#options.manifests.touch(name, stored.digest);
    return stored;
  }

  async #fetch(name: Repository, reference: ManifestReference, digest: Digest | undefined, signal: AbortSignal): Promise<StoredManifest> {
    const { manifests, catalog } = this.#options;
    this.misses += 1;
    const remote = await this.#remote(name).manifest(digest ?? ('tag' in reference ? reference.tag : reference.digest), signal);
    const to = 'tag' in reference ? reference : { digest: remote.digest };
    const stored = await manifests.put(name, to, { bytes: remote.bytes, contentType: remote.mediaType, tags: [] }, { isCopy: true });
    await catalog.changed(name);
    return stored;
  }

  /** A blob whose bytes came with another repository: this one gets them when it has the blob there. Its size; undefined when they are not here. */
  async adopt(name: Repository, digest: Digest, signal: AbortSignal): Promise<number | undefined> {
    const { blobs } = this.#options;
    if ((await blobs.sizeOf(digest)) === undefined) return undefined;
    try {
      await this.#remote(name).blobSize(digest, signal);
      return await blobs.tie(name, digest);
    } catch (err) {
      if (isAbsent(err)) return undefined;
      throw this.#unreachable(err);
    }
  }

  /** A blob that is not here: its bytes as they arrive. Undefined when there is none. */
  async blob(name: Repository, digest: Digest, request: Request): Promise<FetchedBlob | undefined> {
    try {
      this.misses += 1;
      return await this.#flights.serve(name, digest, this.#remote(name), request);
    } catch (err) {
      if (isAbsent(err)) return undefined;
      throw this.#unreachable(err);
    }
  }

  /** All tags there; those that are here when it cannot be reached. */
  async tags(name: Repository, signal: AbortSignal): Promise<Tag[]> {
    try {
      return (await this.#remote(name).tags(signal)).flatMap(text => tryParseTag(text) ?? []).sort();
    } catch (err) {
      if (isAbsent(err)) throw refusal('NAME_UNKNOWN', undefined, { detail: { name } });
      if (await this.#options.manifests.exists(name)) return await this.#options.manifests.tags(name);
      throw this.#unreachable(err);
    }
  }

  /** Ends downloads; what has arrived stays for the next time. */
  async close(): Promise<void> {
    await this.#flights.close();
  }

  #unreachable(err: unknown): Error {
    if (err instanceof Refusal) return err;
    const kind = kindOf(err);
    if (kind === 'ResourceExhausted')
      return refusal('TOOMANYREQUESTS', 'the upstream registry allows no more requests now', { cause: err });
    if (kind === 'Unauthenticated' || kind === 'PermissionDenied')
      return refusal('DENIED', 'the upstream registry refuses access', { cause: err });
    return refusal('UNAVAILABLE', 'the upstream registry does not answer', { cause: err });
  }
}
