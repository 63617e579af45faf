import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { invalidArgument, notFound } from '#base/errors.ts';
import { Semaphore } from '#base/semaphore.ts';
import { SharedWork } from '#base/shared-work.ts';
import type { EventPublisher } from '#core/events.ts';
import type { RecordStore } from '#core/records.ts';
import type { Digest } from '#oci/digest.ts';
import { CacheBudget } from './cache/budget.ts';
import { CacheMounts } from './cache/cache-mounts.ts';
import { type CacheEntry, listCache } from './cache/list.ts';
import { type PruneOptions, type PruneResult, pruneCache } from './cache/prune.ts';
import { parseDockerfile } from './dockerfile/parse.ts';
import { planStages } from './dockerfile/stages.ts';
import type { BuildObserver, BuildRequest } from './request.ts';
import { Build, imageConfigOf } from './solver/build.ts';
import { type BuilderContext, BuildSession, passableMode } from './solver/session.ts';

export interface BuildServiceOptions extends Omit<BuilderContext, 'cacheMounts' | 'flights' | 'turns' | 'workDir' | 'secretsDir'> {
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
  /** Unpacks an archive in any compression. */
  unpack(archive: AsyncIterable<Uint8Array>, directory: string, signal: AbortSignal): Promise<void>;
  /** Reads a file of a context, links resolved inside it. Rejects with NotFound. */
  readText(contextDir: string, path: string): Promise<string>;
  /** Removes a file of a context; none is fine. */
  removeFile(contextDir: string, path: string): Promise<void>;
  /** Rejects with DockerfileError for what is wrong with the file, StepFailed for a process that failed. */
  build(request: BuildRequest, observer: BuildObserver, signal: AbortSignal): Promise<BuildResult>;
  readonly remotes: BuilderContext['remotes'];
  usage(): Promise<CacheEntry[]>;
  prune(options: PruneOptions): Promise<PruneResult>;
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
  const context: BuilderContext = {
    ...parts,
    workDir,
    cacheMounts: new CacheMounts(cachesDir, records),
    flights: new SharedWork(),
    turns: new Semaphore(parallelism),
  };
  const closing = new AbortController();
  const running = new Set<Promise<unknown>>();
  const budget = new CacheBudget(keepBytes, async reservedBytes => {
    const { ids, reclaimedBytes } = await pruneCache(context, isOfImage, { all: false, reservedBytes, filters: {} });
    if (ids.length > 0)
      context.log.info('removed what the build cache had used longest ago', { records: ids.length, bytes: reclaimedBytes });
  });
  return {
    contextDirectory: async () => await directoryIn(workDir),
    unpack: (archive, directory, signal) => context.files.unpack(archive, directory, signal),
    async readText(contextDir, path) {
      if (context.files.kindOf(contextDir, path) !== 'other') throw notFound(`${path}: no such file or directory`);
      return await Bun.file(context.files.resolve(contextDir, path)).text();
    },
    async removeFile(contextDir, path) {
      if (context.files.kindOf(contextDir, path) === 'other') await rm(context.files.resolve(contextDir, path), { force: true });
    },
    async build(request, observer, signal) {
      const building = build(context, request, observer, AbortSignal.any([signal, closing.signal]));
      running.add(building);
      try {
        return await building;
      } finally {
        running.delete(building);
        budget.keep(context.log);
      }
    },
    remotes: context.remotes,
    usage: () => listCache(context, isOfImage),
    async prune(prune) {
      const result = await pruneCache(context, isOfImage, prune);
      events.publish({ type: 'builder', action: 'prune', actorId: '', attributes: { reclaimed: String(result.reclaimedBytes) } });
      return result;
    },
    async recover() {
      const known = new Set(context.cacheMounts.list().map(({ name }) => name));
      const mode = passableMode(context.steps.idMap);
      await mkdir(cachesDir, { recursive: true, mode });
      const unknown = (await readdir(cachesDir)).filter(name => !known.has(name));
      for (const name of unknown) await rm(join(cachesDir, name), { recursive: true, force: true });
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

async function build(context: BuilderContext, request: BuildRequest, observer: BuildObserver, signal: AbortSignal): Promise<BuildResult> {
  const parsed = parseDockerfile(request.dockerfile.text, { name: request.dockerfile.name });
  const plan = planStages(parsed, {
    buildArgs: request.buildArgs,
    buildPlatform: context.platform,
    targetPlatform: request.platform ?? context.platform,
    target: request.target,
    namedContexts: new Set(request.namedContexts.keys()),
  });
  await using session = new BuildSession(context, request, epochOf(request), signal);
  const stage = await new Build(session, plan, observer).run();
  const config = imageConfigOf(session, stage);
  const { id } = await session.workspace.add({ config, layers: stage.layers, names: request.names, parent: undefined }, session.signal);
  return { imageId: id };
}

function epochOf({ buildArgs }: BuildRequest): number | undefined {
  const text = buildArgs.get('SOURCE_DATE_EPOCH');
  if (text === undefined || text === '') return undefined;
  if (!/^\d{1,12}$/.test(text)) throw invalidArgument(`invalid SOURCE_DATE_EPOCH ${JSON.stringify(text)}: expected seconds since 1970`);
  return Number(text);
}
