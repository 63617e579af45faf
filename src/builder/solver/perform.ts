import { cleanUp } from '#base/dispose.ts';
import { failpoint } from '#base/failpoint.ts';
import { newId } from '#base/id.ts';
import { kindOf, notFound } from '#base/errors.ts';
import type { ChainId } from '#core/snapshots.ts';
import { sha256 } from '#oci/digest.ts';
import type { CacheRecord } from '../cache/build-cache.ts';
import type { Layer } from '../ports.ts';
import type { BuildSession, StepEvent } from './session.ts';

/** Work on files, ready to be done: what its result depends on is known. */
export interface PreparedWork {
  /** Everything that the result depends on, as JSON data. */
  readonly identity: unknown;
  /** `RUN make`. */
  readonly description: string;
  /** Whether the work is done on an empty root and its layer then put on the others. */
  readonly isLinked: boolean;
  /** Whether a process does the work: where ids of steps are mapped, its root shows owners as the host knows them. */
  readonly isProcess: boolean;
  /** Does the work on a mounted root. `id` names it. */
  perform(work: { readonly id: string; readonly rootPath: string }, tell: (event: StepEvent) => void, signal: AbortSignal): Promise<void>;
}

export interface WorkResult {
  /** Undefined when no file has changed. */
  readonly layer: Layer | undefined;
  /** ISO 8601. */
  readonly createdAt: string;
  readonly isCached: boolean;
}

/** Finds the result of work in the cache, joins another build that is about it, or does it. */
export async function performOrReuse(
  session: BuildSession,
  parent: ChainId | undefined,
  work: PreparedWork,
  options: { readonly ignoresCache: boolean; readonly onEvent: (event: StepEvent) => void },
): Promise<WorkResult> {
  const { context, signal } = session;
  const below = work.isLinked ? undefined : parent;
  const key = sha256(JSON.stringify([formatVersion, below ?? null, session.epoch ?? null, work.identity]));
  if (!options.ignoresCache) {
    const known = await reuse(session, key, parent, work.isLinked);
    if (known !== undefined) return known;
    const brought = await bring(session, key, below, parent);
    if (brought !== undefined) return await resultOf(session, key, brought, parent, work.isLinked, true);
  }
  // What is to be done anew is not what somebody else is doing already.
  const flight = options.ignoresCache ? `${key} ${newId()}` : key;
  const done = await context.flights.run(
    flight,
    (tell, stop) => context.turns.run(stop, () => perform(session, { key, below, parent }, work, tell, stop)),
    options.onEvent,
    signal,
  );
  return await resultOf(session, key, done, parent, work.isLinked, false);
}

/** Changes when results of old records would no longer be what this version makes. */
const formatVersion = 1;

async function reuse(session: BuildSession, key: string, parent: ChainId | undefined, isLinked: boolean): Promise<WorkResult | undefined> {
  const record = session.context.cache.get(key);
  if (record === undefined) return undefined;
  try {
    const result = await resultOf(session, key, record, parent, isLinked, true);
    session.context.cache.touch(key);
    return result;
  } catch (err) {
    if (kindOf(err) !== 'NotFound') throw err;
    session.context.log.info('a cached step has lost its layer', { step: record.description });
    session.context.cache.delete(key);
    return undefined;
  }
}

/** Brings the result of another machine here. One that is not what it should be counts as none: then the work is done. */
async function bring(
  session: BuildSession,
  key: string,
  below: ChainId | undefined,
  parent: ChainId | undefined,
): Promise<CacheRecord | undefined> {
  const { context, workspace, signal, remoteCaches } = session;
  const found = remoteCaches.map(cache => cache.find(key)).find(each => each !== undefined);
  if (found === undefined) return undefined;
  const { description, sizeBytes, createdAt, layer: wanted } = found.record;
  try {
    const layer = wanted && (await workspace.unpackBlob(found.open(signal), wanted.diffId, parent, signal));
    return context.cache.put(key, { description, parentChain: below ?? null, sizeBytes, createdAt, layer });
  } catch (err) {
    signal.throwIfAborted();
    context.log.warn('a result from a cache elsewhere is of no use', { step: description, error: err });
    return undefined;
  }
}

async function resultOf(
  session: BuildSession,
  key: string,
  { layer, createdAt }: CacheRecord,
  parent: ChainId | undefined,
  isLinked: boolean,
  isCached: boolean,
): Promise<WorkResult> {
  session.use(session.context.cache.use(key));
  session.noteStep(key);
  if (layer === null) return { layer: undefined, createdAt, isCached };
  if (isLinked) return { layer: await session.workspace.restack(layer, parent, session.signal), createdAt, isCached };
  if (!(await session.workspace.hold(layer))) throw notFound(`the layer ${layer.digest} is gone`);
  return { layer, createdAt, isCached };
}

interface Place {
  readonly key: string;
  /** What the work sees. */
  readonly below: ChainId | undefined;
  /** What its layer goes on. */
  readonly parent: ChainId | undefined;
}

//   writable layer → mount → work → tar of what changed → blob → layer → record
async function perform(
  session: BuildSession,
  { key, below, parent }: Place,
  work: PreparedWork,
  tell: (event: StepEvent) => void,
  signal: AbortSignal,
): Promise<CacheRecord> {
  const { context, workspace } = session;
  const { snapshots, files, cache, log } = context;
  const id = newId();
  await using undo = new AsyncDisposableStack();
  undo.defer(() => cleanUp(`root of build step ${id}`, log, () => snapshots.remove(id)));
  await snapshots.prepare(id, below, { mapped: work.isProcess && context.steps.idMap !== undefined });
  const idMap = snapshots.idMapOf(id);
  const { upperDir, lowerDirs, copiedAtNs, recipe } = snapshots.paths(id);
  // On an empty root nothing has to be merged, and overlay would mark new directories as complete.
  const rootPath = work.isLinked ? upperDir : await snapshots.mount(id, { volatile: true });
  const changes = { upperDir, lowerDirs: work.isLinked ? [] : lowerDirs, ...(copiedAtNs === undefined ? {} : { copiedAtNs }) };
  failpoint('build.step.mounted');
  await work.perform({ id, rootPath }, tell, signal);
  failpoint('build.step.performed');
  const latestSeconds = session.epoch;
  // What is on disk has to be what the tar says: with other times or owners, or in another place, it is unpacked anew.
  await using file = work.isLinked || latestSeconds !== undefined || idMap !== undefined ? await workspace.file() : undefined;
  const target = { tarPath: file?.path, recipePath: file === undefined ? recipe : undefined };
  const packed = await files.pack({ ...changes, ...target, idMap, latestSeconds }, signal);
  failpoint('build.step.packed');
  signal.throwIfAborted();
  const common = { description: work.description, parentChain: below ?? null, sizeBytes: packed.sizeBytes };
  if (packed.isEmpty) return cache.put(key, { ...common, layer: null, sizeBytes: 0 });
  const layer =
    file === undefined
      ? await workspace.commit({ writableKey: id, tar: packed.blob, sizeBytes: packed.sizeBytes }, parent)
      : await workspace.stack(file, packed.blob, parent, signal);
  if (file === undefined) undo.move();
  const record = cache.put(key, { ...common, layer });
  failpoint('build.step.recorded');
  return record;
}
