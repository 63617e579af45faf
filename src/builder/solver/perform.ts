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
  /** Chains of layers beside the root that the work writes on as well: what it leaves there are results of their own. */
  readonly beside?: readonly (ChainId | undefined)[];
  /** What is left in the root is no result. */
  readonly dropsRoot?: boolean;
  /** Does the work on a mounted root. `id` names it. */
  perform(work: WorkPlace, tell: (event: StepEvent) => void, signal: AbortSignal): Promise<void>;
}

export interface WorkPlace {
  readonly id: string;
  readonly rootPath: string;
  /** Where the chains beside the root are mounted. */
  readonly besidePaths: readonly string[];
}

export interface WorkResult {
  /** Undefined when no file has changed. */
  readonly layer: Layer | undefined;
  /** The same for each chain beside the root. */
  readonly beside: readonly (Layer | undefined)[];
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
    const known = await reuse(session, key, parent, work);
    if (known !== undefined) return known;
    const brought = work.beside === undefined ? await bring(session, key, below, parent) : undefined;
    if (brought !== undefined) return await resultOf(session, key, brought, parent, work, true);
  }
  // What is to be done anew is not what somebody else is doing already.
  const flight = options.ignoresCache ? `${key} ${newId()}` : key;
  const done = await context.flights.run(
    flight,
    (tell, stop) => context.turns.run(stop, () => perform(session, { key, below, parent }, work, tell, stop)),
    options.onEvent,
    signal,
  );
  return await resultOf(session, key, done, parent, work, false);
}

/** What is left on a chain beside the root is recorded under a key of its own. */
const besideKey = (key: string, index: number): string => sha256(`${key} beside ${String(index)}`);

/** Changes when results of old records would no longer be what this version makes. */
const formatVersion = 1;

async function reuse(session: BuildSession, key: string, parent: ChainId | undefined, work: PreparedWork): Promise<WorkResult | undefined> {
  const record = session.context.cache.get(key);
  if (record === undefined) return undefined;
  try {
    const result = await resultOf(session, key, record, parent, work, true);
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

/** Rejects with NotFound when a part of the result is gone. */
async function resultOf(
  session: BuildSession,
  key: string,
  { layer, createdAt }: CacheRecord,
  parent: ChainId | undefined,
  work: PreparedWork,
  isCached: boolean,
): Promise<WorkResult> {
  const beside: (Layer | undefined)[] = [];
  for (const index of (work.beside ?? []).keys()) {
    const record = session.context.cache.get(besideKey(key, index));
    if (record === undefined) throw notFound(`a part of the result of ${work.description} is gone`);
    beside.push(await heldLayer(session, besideKey(key, index), record.layer));
  }
  if (layer !== null && work.isLinked) {
    note(session, key);
    return { layer: await session.workspace.restack(layer, parent, session.signal), beside, createdAt, isCached };
  }
  return { layer: await heldLayer(session, key, layer), beside, createdAt, isCached };
}

function note(session: BuildSession, key: string): void {
  session.use(session.context.cache.use(key));
  session.noteStep(key);
}

async function heldLayer(session: BuildSession, key: string, layer: Layer | null): Promise<Layer | undefined> {
  note(session, key);
  if (layer === null) return undefined;
  if (!(await session.workspace.hold(layer))) throw notFound(`the layer ${layer.digest} is gone`);
  return layer;
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
  await using undo = new AsyncDisposableStack();
  const root = undo.use(await openWritable(session, below, work));
  const beside: Writable[] = [];
  for (const chain of work.beside ?? []) beside.push(undo.use(await openWritable(session, chain, work)));
  failpoint('build.step.mounted');
  await work.perform({ id: root.id, rootPath: root.path, besidePaths: beside.map(({ path }) => path) }, tell, signal);
  failpoint('build.step.performed');
  const facts = { description: work.description, isLinked: work.isLinked };
  for (const [index, writable] of beside.entries()) {
    const chain = work.beside?.[index];
    await leave(session, writable, { ...facts, key: besideKey(key, index), below: chain, parent: chain }, signal);
  }
  if (work.dropsRoot === true) {
    return session.context.cache.put(key, { description: work.description, parentChain: below ?? null, sizeBytes: 0, layer: null });
  }
  return await leave(session, root, { ...facts, key, below, parent }, signal);
}

/** A writable layer that is mounted; disposing it removes what has not become a layer. */
interface Writable extends AsyncDisposable {
  readonly id: string;
  readonly path: string;
  /** It is a layer now. */
  keep(): void;
}

async function openWritable(session: BuildSession, below: ChainId | undefined, work: PreparedWork): Promise<Writable> {
  const { snapshots, steps, log } = session.context;
  const id = newId();
  await using undo = new AsyncDisposableStack();
  undo.defer(() => cleanUp(`root of build step ${id}`, log, () => snapshots.remove(id)));
  await snapshots.prepare(id, below, { mapped: work.isProcess && steps.idMap !== undefined });
  // On an empty root nothing has to be merged, and overlay would mark new directories as complete.
  const path = work.isLinked ? snapshots.paths(id).upperDir : await snapshots.mount(id, { volatile: true });
  const held = undo.move();
  let isKept = false;
  return {
    id,
    path,
    keep: () => void (isKept = true),
    [Symbol.asyncDispose]: async () => {
      if (!isKept) await held.disposeAsync();
    },
  };
}

/** Makes a layer and a record of what work has left. */
async function leave(
  session: BuildSession,
  writable: Writable,
  { key, below, parent, description, isLinked }: Place & Pick<PreparedWork, 'description' | 'isLinked'>,
  signal: AbortSignal,
): Promise<CacheRecord> {
  const { context, workspace } = session;
  const { snapshots, files, cache } = context;
  const idMap = snapshots.idMapOf(writable.id);
  const { upperDir, lowerDirs, copiedAtNs, recipe } = snapshots.paths(writable.id);
  const changes = { upperDir, lowerDirs: isLinked ? [] : lowerDirs, ...(copiedAtNs === undefined ? {} : { copiedAtNs }) };
  const latestSeconds = session.epoch;
  // What is on disk has to be what the tar says: with other times or owners, or in another place, it is unpacked anew.
  await using file = isLinked || latestSeconds !== undefined || idMap !== undefined ? await workspace.file() : undefined;
  const target = { tarPath: file?.path, recipePath: file === undefined ? recipe : undefined };
  const packed = await files.pack({ ...changes, ...target, idMap, latestSeconds }, signal);
  failpoint('build.step.packed');
  signal.throwIfAborted();
  const common = { description, parentChain: below ?? null, sizeBytes: packed.sizeBytes };
  if (packed.isEmpty) return cache.put(key, { ...common, layer: null, sizeBytes: 0 });
  const layer =
    file === undefined
      ? await workspace.commit({ writableKey: writable.id, tar: packed.blob, sizeBytes: packed.sizeBytes }, parent)
      : await workspace.stack(file, packed.blob, parent, signal);
  if (file === undefined) writable.keep();
  const record = cache.put(key, { ...common, layer });
  failpoint('build.step.recorded');
  return record;
}
