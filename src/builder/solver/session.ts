import { join } from 'node:path';
import { mkdir, rm } from 'node:fs/promises';
import { cleanUp } from '#base/dispose.ts';
import { newId } from '#base/id.ts';
import type { Logger } from '#base/log.ts';
import type { Semaphore } from '#base/semaphore.ts';
import type { SharedWork } from '#base/shared-work.ts';
import type { BuildFiles } from '#core/build-files.ts';
import type { BuildStepRunner } from '#core/build-steps.ts';
import type { IdMap } from '#core/id-map.ts';
import type { ChainId, Snapshotter } from '#core/snapshots.ts';
import type { Platform } from '#oci/platform.ts';
import type { BuildCache, CacheRecord, KeyedRecord } from '../cache/build-cache.ts';
import type { RemoteCache } from '../cache/portable-cache.ts';
import type { CacheMounts } from '../cache/cache-mounts.ts';
import type { KeptContexts } from '../cache/kept-contexts.ts';
import type { BuildImages, BuildWorkspace, RemoteSources } from '../ports.ts';
import type { BuildRequest } from '../request.ts';

/** What all builds share. */
export interface BuilderContext {
  readonly images: BuildImages;
  readonly snapshots: Pick<Snapshotter, 'prepare' | 'mount' | 'remove' | 'paths' | 'idMapOf' | 'diskUsage'>;
  readonly files: BuildFiles;
  readonly steps: BuildStepRunner;
  readonly remotes: RemoteSources;
  readonly cache: BuildCache;
  readonly cacheMounts: CacheMounts;
  /** Files of clients. */
  readonly keptContexts: KeptContexts;
  /** Steps that are under way, by the key of their result. */
  readonly flights: SharedWork<CacheRecord, StepEvent>;
  /** How many steps may be done at the same time. */
  readonly turns: Semaphore;
  /** What this machine runs. */
  readonly platform: Platform;
  /** For files that only a build needs. */
  readonly workDir: string;
  /** The same in memory, for what must not be on a disk. */
  readonly secretsDir: string;
  readonly log: Logger;
}

export type StepEvent =
  | { readonly kind: 'process'; readonly id: string }
  | { readonly kind: 'output'; readonly stream: 'stdout' | 'stderr'; readonly chunk: Uint8Array };

/** Root of a step whose ids are mapped passes through on its way to what it may read. The data root, above it, lets nobody else in. */
export const passableMode = (idMap: IdMap | undefined): number => (idMap === undefined ? 0o700 : 0o711);

/** What steps need to know of the build that they belong to. */
export type SessionRequest = Pick<
  BuildRequest,
  'platform' | 'buildArgs' | 'network' | 'limits' | 'hostname' | 'entitlements' | 'secrets' | 'openCaches'
>;

/** One build under way: what it holds goes when it is disposed. */
export class BuildSession<R extends SessionRequest = SessionRequest> implements AsyncDisposable {
  readonly context: BuilderContext;
  readonly request: R;
  readonly workspace: BuildWorkspace;
  readonly platform: Platform;
  /** Aborts when the client leaves and when a part of the build has failed. */
  readonly signal: AbortSignal;
  /** Times after this become this (SOURCE_DATE_EPOCH, seconds). */
  readonly epoch: number | undefined;
  readonly #resources = new AsyncDisposableStack();
  readonly #views = new Map<string, Promise<string>>();
  readonly #failed = new AbortController();
  readonly #steps = new Set<string>();
  #remoteCaches: readonly RemoteCache[] = [];

  constructor(context: BuilderContext, request: R, epoch: number | undefined, signal: AbortSignal) {
    this.context = context;
    this.request = request;
    this.platform = request.platform ?? context.platform;
    this.epoch = epoch;
    this.signal = AbortSignal.any([signal, this.#failed.signal]);
    this.workspace = this.#resources.use(context.images.workspace());
  }

  /** Results of steps that are elsewhere. */
  get remoteCaches(): readonly RemoteCache[] {
    return this.#remoteCaches;
  }

  async openRemoteCaches(): Promise<void> {
    this.#remoteCaches = (await this.request.openCaches?.(this.workspace)) ?? [];
  }

  /** Remembers that the build stands on a result that the cache has. */
  noteStep(key: string): void {
    this.#steps.add(key);
  }

  /** The results that the build stands on. */
  steps(): KeyedRecord[] {
    return [...this.#steps].flatMap(key => {
      const record = this.context.cache.get(key);
      return record === undefined ? [] : [{ key, record }];
    });
  }

  /** A part of the build has failed: the others are stopped, and this is why the build fails. */
  fail(err: unknown): void {
    this.#failed.abort(err);
  }

  /** A directory of the host that shows a chain of layers; for reading only. `mapped`: with the owners that steps have on the host. */
  view(chain: ChainId | undefined, options: { readonly mapped: boolean } = { mapped: false }): Promise<string> {
    const name = `${String(options.mapped)} ${chain ?? ''}`;
    const known = this.#views.get(name);
    if (known !== undefined) return known;
    const view = this.#mountView(chain, options);
    this.#views.set(name, view);
    return view;
  }

  async #mountView(chain: ChainId | undefined, options: { readonly mapped: boolean }): Promise<string> {
    const key = newId();
    this.defer('view of a stage', () => this.context.snapshots.remove(key));
    await this.context.snapshots.prepare(key, chain, options);
    return await this.context.snapshots.mount(key, { volatile: true });
  }

  /** A new directory, gone with the build. */
  async directory(name: string): Promise<string> {
    const path = join(this.context.workDir, `${name}-${newId().slice(0, 16)}`);
    this.defer(`directory ${path}`, () => rm(path, { recursive: true, force: true }));
    await mkdir(path, { recursive: true, mode: passableMode(this.context.steps.idMap) });
    return path;
  }

  defer(what: string, undo: () => unknown): void {
    this.#resources.defer(() => cleanUp(what, this.context.log, undo));
  }

  use<T extends Disposable | AsyncDisposable>(resource: T): T {
    return this.#resources.use(resource);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#resources.disposeAsync();
  }
}
