import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { notFound } from '#base/errors.ts';
import { Semaphore } from '#base/semaphore.ts';
import { SharedWork } from '#base/shared-work.ts';
import type { EventPublisher } from '#core/events.ts';
import type { BuildFiles } from '#core/build-files.ts';
import type { RecordStore } from '#core/records.ts';
import type { Digest } from '#oci/digest.ts';
import { BuildHistory } from './history/build-history.ts';
import { solveGraph } from './llb/solve-graph.ts';
import type { GraphObserver, GraphRequest } from './llb/request.ts';
import type { BuildWorkspace } from './ports.ts';
import { CacheBudget } from './cache/budget.ts';
import { CacheMounts } from './cache/cache-mounts.ts';
import { type KeptContext, KeptContexts } from './cache/kept-contexts.ts';
import { type CacheEntry, listCache } from './cache/list.ts';
import { reclaimableCache, type ReclaimableCache } from './cache/reclaimable.ts';
import { type PruneOptions, type PruneResult, pruneCache } from './cache/prune.ts';
import type { BuildObserver, BuildRequest } from './request.ts';
import { type BuilderContext, passableMode } from './solver/session.ts';
import { solve, type SolvedBuild } from './solver/solve.ts';

export interface BuildServiceOptions
  extends Omit<BuilderContext, 'cacheMounts' | 'keptContexts' | 'flights' | 'turns' | 'workDir' | 'secretsDir'> {
  readonly records: RecordStore;
  /** Below it: files of builds under way, and the directories of cache mounts. */
  readonly dataDir: string;
  /** Like `dataDir`, in memory: for what must never be on a disk. */
  readonly secretsDir: string;
  /** How many steps are done at the same time. */
  readonly parallelism: number;
  readonly events: EventPublisher;
  /** How much the cache may keep beyond what images have anyway; undefined: all. */
  keepBytes(): number | undefined;
  /** Layers that images have, for telling what a cache shares with them. */
  isOfImage(chain: Digest): boolean;
}

export interface BuildResult {
  readonly imageId: Digest;
}

export interface BuildService {
  /** A new directory for the files of one build; whoever asked for it removes it. */
  contextDirectory(): Promise<BuildDirectory>;
  /** A directory that is kept from one build to the next, for files of a client; `key` tells clients and their directories apart. */
  keptContext(key: string, what: string): Promise<KeptContext>;
  /** Unpacks an archive in any compression. */
  unpack(archive: AsyncIterable<Uint8Array>, directory: string, signal: AbortSignal): Promise<void>;
  /** Reads a file of a context, links resolved inside it. Rejects with NotFound. */
  readText(contextDir: string, path: string): Promise<string>;
  readonly setAttributes: BuildFiles['setAttributes'];
  /** Where a path in a directory is on this machine, links resolved inside the directory. Rejects with NotFound. */
  place(directory: string, path: string): string;
  /** Removes a file of a context; none is fine. */
  removeFile(contextDir: string, path: string): Promise<void>;
  /** Rejects with DockerfileError for what is wrong with the file, StepFailed for a process that failed. */
  build(request: BuildRequest, observer: BuildObserver, signal: AbortSignal): Promise<BuildResult>;
  /** Builds without making an image of it: what comes of it stays until it is disposed. Rejects like `build`. */
  solve(request: BuildRequest, observer: BuildObserver, signal: AbortSignal): Promise<SolvedBuild>;
  /** Builds a graph that a client has written itself. Rejects like `build`. */
  solveGraph(request: GraphRequest, observer: GraphObserver, signal: AbortSignal): Promise<SolvedBuild>;
  readonly remotes: BuilderContext['remotes'];
  /** What builds need of images, for whoever wants to know something of them. */
  workspace(): BuildWorkspace;
  /** The builds that clients have asked for. */
  readonly history: BuildHistory;
  usage(): Promise<CacheEntry[]>;
  prune(options: PruneOptions): Promise<PruneResult>;
  /** The cache, for a disk budget that is not only its own. */
  readonly reclaimable: ReclaimableCache;
  /** Removes what builds of an earlier daemon left. Returns what it did, in words. Call once, before serving. */
  recover(): Promise<string[]>;
  /** Stops the builds that are under way, and resolves when nothing is left of them. */
  close(): Promise<void>;
}

export interface BuildDirectory extends AsyncDisposable {
  readonly path: string;
}

export function createBuildService(options: BuildServiceOptions): BuildService {
  const { records, dataDir, parallelism, isOfImage, keepBytes, events, ...parts } = options;
  const workDir = join(dataDir, 'work');
  const cachesDir = join(dataDir, 'caches');
  const contextsDir = join(dataDir, 'contexts');
  const context: BuilderContext = {
    ...parts,
    workDir,
    cacheMounts: new CacheMounts(cachesDir, records),
    keptContexts: new KeptContexts(contextsDir, records),
    flights: new SharedWork(),
    turns: new Semaphore(parallelism),
  };
  const history = new BuildHistory(join(dataDir, 'history'), records, context.log);
  const closing = new AbortController();
  const running = new Set<Promise<unknown>>();
  const budget = new CacheBudget(keepBytes, async reservedBytes => {
    const { ids, reclaimedBytes } = await pruneCache(context, isOfImage, {
      all: false,
      room: { reservedBytes, maxUsedBytes: 0, minFreeBytes: 0 },
      filters: {},
    });
    if (ids.length > 0)
      context.log.info('removed what the build cache had used longest ago', { records: ids.length, bytes: reclaimedBytes });
  });
  const tracked = async (
    work: (signal: AbortSignal, done: () => void) => Promise<SolvedBuild>,
    signal: AbortSignal,
  ): Promise<SolvedBuild> => {
    const end = Promise.withResolvers<void>();
    running.add(end.promise);
    const done = (): void => {
      running.delete(end.promise);
      end.resolve();
      budget.keep(context.log);
    };
    return await work(AbortSignal.any([signal, closing.signal]), done);
  };
  const solveTracked: BuildService['solve'] = (request, observer, signal) =>
    tracked((stop, done) => solve(context, request, observer, stop, done), signal);
  return {
    contextDirectory: async () => await directoryIn(workDir),
    keptContext: (key, what) => context.keptContexts.acquire(key, what),
    unpack: (archive, directory, signal) => context.files.unpack(archive, directory, signal),
    async readText(contextDir, path) {
      if (context.files.kindOf(contextDir, path) !== 'other') throw notFound(`${path}: no such file or directory`);
      return await Bun.file(context.files.resolve(contextDir, path)).text();
    },
    setAttributes: (path, attributes) => context.files.setAttributes(path, attributes),
    place: (directory, path) => context.files.resolve(directory, path),
    async removeFile(contextDir, path) {
      if (context.files.kindOf(contextDir, path) === 'other') await rm(context.files.resolve(contextDir, path), { force: true });
    },
    async build(request, observer, signal) {
      await using solved = await solveTracked(request, observer, signal);
      return { imageId: await solved.save(request.names) };
    },
    solve: solveTracked,
    solveGraph: (request, observer, signal) => tracked((stop, done) => solveGraph(context, request, observer, stop, done), signal),
    remotes: context.remotes,
    workspace: () => context.images.workspace(),
    history,
    usage: () => listCache(context, isOfImage),
    reclaimable: reclaimableCache(context, isOfImage),
    async prune(prune) {
      const result = await pruneCache(context, isOfImage, prune);
      const { unusedForMs = 0, ...others } = prune.filters;
      // What is to go whole takes along what is remembered of builds.
      if (prune.all && prune.room === undefined && Object.keys(others).length === 0) await history.prune(unusedForMs);
      events.publish({ type: 'builder', action: 'prune', actorId: '', attributes: { reclaimed: String(result.reclaimedBytes) } });
      return result;
    },
    async recover() {
      await history.recover();
      const mode = passableMode(context.steps.idMap);
      for (const [directory, kept] of [
        [cachesDir, context.cacheMounts.list()],
        [contextsDir, context.keptContexts.list()],
      ] as const) {
        const known = new Set(kept.map(({ name }) => name));
        await mkdir(directory, { recursive: true, mode });
        const unknown = (await readdir(directory)).filter(name => !known.has(name));
        for (const name of unknown) await rm(join(directory, name), { recursive: true, force: true });
      }
      await rm(options.secretsDir, { recursive: true, force: true });
      await mkdir(options.secretsDir, { recursive: true, mode });
      await mkdir(workDir, { recursive: true, mode });
      const left = await context.files.clear(workDir);
      return left === 0 ? [] : [`removed the files of ${String(left)} unfinished builds`];
    },
    async close() {
      closing.abort(new DOMException('the daemon is ending', 'AbortError'));
      await Promise.allSettled(running);
    },
  };
}

let nextDirectory = 0;

async function directoryIn(workDir: string): Promise<BuildDirectory> {
  const path = join(workDir, `context-${String((nextDirectory += 1))}`);
  await mkdir(path, { recursive: true, mode: 0o755 });
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}
