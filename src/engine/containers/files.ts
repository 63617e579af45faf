import { conflict, kindOf, notFound } from '#base/errors.ts';
import { failpoint } from '#base/failpoint.ts';
import type { ExtractOptions, FileChange, FilesSession, FilesView, PathStat, WritableLayer } from '#core/files.ts';
import { type Context, containerDir, hold, publish } from './context.ts';
import type { Entry } from './entry.ts';
import type { Container } from './model.ts';
import { viewMounts } from './mounts.ts';
import { parseNetworkMode } from './network-request.ts';
import type { FilesArchive, PutArchiveOptions } from './service.ts';
import { isRunning } from './state.ts';
import { resolveUser } from './user.ts';

const accountFileBytes = 4 * 1024 * 1024;

export async function statPath(ctx: Context, ref: string, path: string, signal: AbortSignal): Promise<PathStat> {
  await using work = await enter(ctx, ref, 'view', signal);
  return await namingContainer(ref, path, () => work.session.stat(path));
}

/** Whoever takes the tar must read it to its end or leave it with `return`: until then its process is there. */
export async function readArchive(ctx: Context, ref: string, path: string, signal: AbortSignal): Promise<FilesArchive> {
  await using undo = new AsyncDisposableStack();
  const work = undo.use(await enter(ctx, ref, 'view', signal));
  const { stat, tar } = await namingContainer(ref, path, () => work.session.archive(path));
  publish(ctx, work.entry.container, 'archive-path');
  return { stat, tar: closing(tar, undo.move()) };
}

export async function exportContainer(ctx: Context, ref: string, signal: AbortSignal): Promise<AsyncIterable<Uint8Array>> {
  await using undo = new AsyncDisposableStack();
  const work = undo.use(await enter(ctx, ref, 'root', signal));
  const tar = await work.session.root();
  publish(ctx, work.entry.container, 'export');
  return closing(tar, undo.move());
}

export async function putArchive(
  ctx: Context,
  ref: string,
  path: string,
  options: PutArchiveOptions,
  archive: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
): Promise<void> {
  await using work = await enter(ctx, ref, 'view', signal);
  const { container } = work.entry;
  const extract: ExtractOptions = {
    keepsKinds: options.noOverwriteDirNonDir,
    owner: options.copyUidGid ? ownerOf(ctx, container, work.rootPath) : undefined,
    readOnlyRoot: container.hostConfig.readonlyRootfs,
    mounts: writableMounts(container),
  };
  const tar = ctx.decompress(passing(archive), { signal: work.signal });
  await namingContainer(ref, path, () => work.session.extract(path, extract, tar));
  publish(ctx, container, 'extract-to-dir');
}

/** A place to end half way. */
async function* passing(archive: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, undefined> {
  for await (const chunk of archive) {
    yield chunk;
    failpoint('container.archive.taken');
  }
}

export async function listChanges(ctx: Context, ref: string, signal: AbortSignal): Promise<FileChange[]> {
  const entry = ctx.containers.find(ref);
  return await ctx.fileWork.changes(writableLayer(ctx, entry.id), AbortSignal.any([signal, entry.filesGone.signal]));
}

/** A container's own layer, for work on it. */
export const writableLayer = (ctx: Context, id: string): WritableLayer => ({
  ...ctx.snapshots.paths(id),
  idMap: ctx.snapshots.idMapOf(id),
});

/** What a run mounts besides is a place of its own as well. */
const writableMounts = ({ mounts, hostConfig, state }: Container): ExtractOptions['mounts'] => [
  ...mounts.map(({ destination, readWrite }) => ({ destination, readOnly: !readWrite })),
  ...(isRunning(state) ? Object.keys(hostConfig.tmpfs).map(destination => ({ destination, readOnly: false })) : []),
];

function ownerOf(ctx: Context, { config }: Container, root: string): ExtractOptions['owner'] {
  if (config.user === '') return undefined;
  return resolveUser(config.user, [], file => ctx.files.readText(root, file, accountFileBytes));
}

async function namingContainer<T>(ref: string, path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (err) {
    throw kindOf(err) === 'NotFound' ? notFound(`Could not find the file ${path} in container ${ref}`, { cause: err }) : err;
  }
}

async function* closing<T>(source: AsyncIterable<T>, resource: AsyncDisposable): AsyncGenerator<T, void, undefined> {
  await using _closed = resource;
  for await (const item of source) {
    yield item;
    failpoint('container.export.sent');
  }
}

interface Work extends AsyncDisposable {
  readonly entry: Entry;
  readonly session: FilesSession;
  /** Where the container's root is mounted on the host. */
  readonly rootPath: string;
  readonly signal: AbortSignal;
}

/** How often a container may end just when its files are wanted. */
const mostAttempts = 5;

/**
 * Gets into a container's files, running or not. Its lock is held until the process is inside; from then on the container may start, stop and go as it
 * likes: the root stays mounted for the work, and a removal ends it.
 */
async function enter(ctx: Context, ref: string, what: 'view' | 'root', signal: AbortSignal): Promise<Work> {
  const { id } = ctx.containers.find(ref);
  for (let attempt = 1; ; attempt += 1) {
    try {
      using _held = await hold(ctx, id);
      return await enterLocked(ctx, ctx.containers.find(id), what, signal);
    } catch (err) {
      if (kindOf(err) !== 'FailedPrecondition' || attempt === mostAttempts) throw err;
    }
    // It ended a moment ago: what is left is there when its end has been dealt with.
    await ctx.containers.get(id)?.exited;
  }
}

async function enterLocked(ctx: Context, entry: Entry, what: 'view' | 'root', client: AbortSignal): Promise<Work> {
  const { id, container } = entry;
  const { status } = container.state;
  if (status === 'removing' || status === 'dead') throw conflict(`container ${id} is being removed: its files are not there any more`);
  const signal = AbortSignal.any([client, entry.filesGone.signal, ctx.closing.signal]);
  await using undo = new AsyncDisposableStack();
  const root = undo.use(await ctx.snapshots.hold(id));
  failpoint('container.files.held');
  const { view, done } = await viewOf(ctx, container, root.path, what);
  let session: FilesSession;
  try {
    session = undo.use(await ctx.fileWork.enter(view, signal));
  } finally {
    await done();
  }
  failpoint('container.files.entered');
  const all = undo.move();
  return { entry, session, rootPath: root.path, signal, [Symbol.asyncDispose]: () => all.disposeAsync() };
}

async function viewOf(
  ctx: Context,
  container: Container,
  root: string,
  what: 'view' | 'root',
): Promise<{ readonly view: FilesView; done(): Promise<void> }> {
  const nothing = (): Promise<void> => Promise.resolve();
  const { id, state } = container;
  const idMap = ctx.snapshots.idMapOf(id);
  if (what === 'root') return { view: { kind: 'root', root, idMap }, done: nothing };
  if (isRunning(state)) return { view: { kind: 'running', containerId: id, pid: state.pid, idMap }, done: nothing };
  const { mounts, done } = await viewMounts(ctx, container);
  return { view: { kind: 'stopped', root, idMap, mounts: [...networkFiles(ctx, container), ...mounts] }, done };
}

/** Those that the last run had. */
function networkFiles(ctx: Context, { id, hostConfig }: Container) {
  const mode = parseNetworkMode(hostConfig.networkMode);
  const owner = mode.mode === 'container' ? mode.container : id;
  return ['resolv.conf', 'hostname', 'hosts'].map(name => ({
    source: `${containerDir(ctx, owner)}/${name}`,
    destination: `/etc/${name}`,
    readOnly: false,
  }));
}
