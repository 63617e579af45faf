import { messageOf } from '#base/errors.ts';
import type { Logger } from '#base/log.ts';
import { letOthersGoFirst } from '#base/turns.ts';
import type { Authenticator } from './auth/authenticator.ts';
import type { TokenService } from './auth/token-service.ts';
import { Blobs, touchEveryMs } from './blobs.ts';
import { Catalog, listRepositories } from './catalog.ts';
import { Collector, type CollectRequest, digestsBelow } from './collect/collector.ts';
import { Guard } from './guard.ts';
import { blobPath, layersFolder } from './layout.ts';
import { Manifests } from './manifests.ts';
import { expireFetches } from './proxy/blob-flights.ts';
import { PullThrough, type Upstream } from './proxy/pull-through.ts';
import { type QuotaOptions, Quotas } from './quotas.ts';
import type { Limits, Services } from './routes/exchange.ts';
import { SearchIndex } from './search.ts';
import type { Storage } from './storage/storage.ts';
import { Uploads } from './uploads.ts';

export interface RegistryOptions {
  readonly storage: Storage;
  readonly authenticator: Authenticator;
  readonly tokens: TokenService | undefined;
  readonly limits: Limits;
  readonly quotas: QuotaOptions;
  readonly upstreams: readonly Upstream[];
  readonly indexesNeedAll: boolean;
  readonly graceMs: number;
  readonly uploadAgeMs: number;
  readonly log: Logger;
}

const checkEveryMs = 10_000;

/** The registry without its listeners: storage, what is in it, and the work that goes on by itself. */
export class Registry implements AsyncDisposable {
  readonly services: Services;
  readonly uploads: Uploads;
  readonly quotas: Quotas;
  readonly upstreams: PullThrough;
  readonly #collector: Collector;
  readonly #storage: Storage;
  readonly #log: Logger;
  readonly #uploadAgeMs: number;
  readonly #timers: Timer[] = [];
  #problem: string | undefined;
  #isDraining = false;

  private constructor(options: RegistryOptions) {
    const { storage, log, graceMs } = options;
    this.#storage = storage;
    this.#log = log;
    this.#uploadAgeMs = options.uploadAgeMs;
    const guard = new Guard();
    this.quotas = new Quotas(options.quotas);
    const blobs = new Blobs({ storage, guard, quotas: this.quotas, touchEveryMs: Math.min(touchEveryMs, graceMs / 2) });
    const manifests = new Manifests({ storage, guard, blobs, quotas: this.quotas, indexesNeedAll: options.indexesNeedAll });
    const catalog = new Catalog(storage);
    this.uploads = new Uploads({ stagingFolder: storage.stagingFolder, blobs, quotas: this.quotas, log });
    this.upstreams = new PullThrough({
      upstreams: options.upstreams,
      manifests,
      blobs,
      catalog,
      stagingFolder: storage.stagingFolder,
      log,
    });
    this.#collector = new Collector({
      storage,
      guard,
      blobs,
      manifests,
      quotas: this.quotas,
      catalog,
      log,
      ttlOf: name => this.upstreams.ttlOf(name),
    });
    this.services = {
      blobs,
      manifests,
      catalog,
      uploads: this.uploads,
      quotas: this.quotas,
      upstreams: this.upstreams,
      search: new SearchIndex(catalog, manifests),
      authenticator: options.authenticator,
      tokens: options.tokens,
      limits: options.limits,
      problems: () => ({
        ...(this.#problem !== undefined && { storage: this.#problem }),
        ...(this.#isDraining && { shutdown: 'the registry is shutting down' }),
      }),
    };
  }

  /** Tidies up after an earlier process, and counts what is there where quotas need it. */
  static async open(options: RegistryOptions): Promise<Registry> {
    const registry = new Registry(options);
    await registry.uploads.tidy();
    await registry.#checkStorage();
    if (registry.quotas.isCounting) await registry.#count();
    registry.#every(checkEveryMs, () => registry.#checkStorage());
    registry.#every(Math.min(options.uploadAgeMs, 3_600_000), () => registry.#expire());
    await registry.#expire();
    return registry;
  }

  async collect(request: CollectRequest) {
    return await this.#collector.collect(request);
  }

  /** Repeats work until the registry is closed; what fails is logged and tried again the next time. */
  every(ms: number, what: string, action: () => Promise<unknown>): void {
    this.#every(ms, () => action().catch((err: unknown) => this.#log.error(`${what} failed`, { error: err })));
  }

  #every(ms: number, action: () => Promise<unknown>): void {
    const timer = setInterval(() => void action(), ms);
    timer.unref();
    this.#timers.push(timer);
  }

  async #checkStorage(): Promise<void> {
    const before = this.#problem;
    this.#problem = await this.#storage.check().then(
      () => undefined,
      (err: unknown) => messageOf(err),
    );
    if (this.#problem !== before) {
      if (this.#problem === undefined) this.#log.info('the storage works again');
      else this.#log.error('the storage does not work', { why: this.#problem });
    }
  }

  async #expire(): Promise<void> {
    try {
      await this.uploads.expire(this.#uploadAgeMs);
      await expireFetches(this.#storage.stagingFolder, this.#uploadAgeMs);
    } catch (err) {
      this.#log.warn('old uploads could not be removed', { error: err });
    }
  }

  async #count(): Promise<void> {
    const { manifests } = this.services;
    for (const name of await listRepositories(this.#storage)) {
      const digests = await manifests.digests(name);
      for await (const digest of digestsBelow(this.#storage, layersFolder(name))) digests.push(digest);
      for (const digest of digests) {
        const stored = await this.#storage.stat(blobPath(digest));
        if (stored === undefined) continue;
        this.quotas.count(name, digest, stored.sizeBytes);
        this.quotas.countBytes(digest, stored.sizeBytes);
        await letOthersGoFirst();
      }
    }
  }

  /** From now on health checks send clients elsewhere. */
  drain(): void {
    this.#isDraining = true;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const timer of this.#timers) clearInterval(timer);
    await this.upstreams.close();
  }
}
