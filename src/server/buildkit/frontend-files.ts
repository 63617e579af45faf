import { posix } from 'node:path';
import { invalidArgument, kindOf } from '#base/errors.ts';
import type { Attributes } from '#api/buildkit/messages.ts';
import { ownIgnoreFile, parseIgnoreFile } from '#builder/dockerfile/ignore.ts';
import type { KnownDigests } from '#builder/request.ts';
import type { BuildService } from '#builder/service.ts';
import type { SolvedBuild } from '#builder/solver/solve.ts';
import { fetchContext } from '../remote-context.ts';
import { pullUpload } from './client-services.ts';
import type { ClientSession } from './client-session.ts';
import type { Job } from './job.ts';
import { type FormerFiles, receiveDirectory, type WantedFiles } from './receive-directory.ts';
import type { Sessions } from './sessions.ts';
import { withoutUserInfo } from './without-credentials.ts';

export interface FrontendParts {
  readonly builds: Pick<BuildService, 'contextDirectory' | 'keptContext' | 'setAttributes' | 'unpack' | 'readText' | 'remotes'>;
  readonly sessions: Sessions;
  readonly job: Job;
  readonly options: Attributes;
  /** What the client hands over under a name, built; undefined: nothing. */
  input(name: string): Promise<SolvedBuild | undefined>;
}

export interface ReceivedContext {
  readonly path: string;
  /** Digests of what is in it that are known. */
  readonly digests?: KnownDigests;
}

export interface FilesOfBuild {
  readonly dockerfile: { readonly name: string; readonly text: string };
  /** Patterns of what is left out of the context. */
  readonly ignored: readonly string[];
  /** Brings what of the context is at or below these paths here; undefined: all. Returns its directory. */
  context(paths: ReadonlySet<string> | undefined): Promise<ReceivedContext>;
}

/** Finds the Dockerfile, and where the context is. Rejects with InvalidArgument when there is no Dockerfile. */
export async function openFiles(parts: FrontendParts): Promise<FilesOfBuild> {
  const { options } = parts;
  const key = options.contextkey || 'context';
  const remote = await remoteContext(parts, key);
  const name = options.filename === undefined || options.filename === '' ? 'Dockerfile' : options.filename;
  const dockerfileKey = options.dockerfilekey || 'dockerfile';
  const given = await parts.input(dockerfileKey);
  const hasLocalDockerfile = remote === undefined || (options.dockerfilekey ?? '') !== '';
  const fetched = await remote?.fetch();
  const root = fetched && posix.join(fetched.directory, posix.join('/', options.contextsubdir ?? ''));
  const dockerfile = parts.job.progress.vertex('dockerfile', `[internal] load build definition from ${name}`);
  const found = await dockerfile.run(async () => {
    if (fetched?.text !== undefined) return { text: fetched.text, directory: undefined };
    const wanted = { follow: [name, ownIgnoreFile(name), name.toLowerCase()] };
    const directory =
      (await given?.view()) ?? (hasLocalDockerfile || root === undefined ? await receive(parts, dockerfileKey, wanted, dockerfile) : root);
    const text = await readFirst(parts, directory, name === 'Dockerfile' ? [name, 'dockerfile'] : [name]);
    if (text === undefined) throw invalidArgument(`failed to read dockerfile: open ${name}: no such file or directory`);
    if (text.trim() === '') throw invalidArgument(`the Dockerfile (${name}) is empty`);
    return { text, directory };
  });
  if (root !== undefined) return { dockerfile: { name, text: found.text }, ignored: [], context: () => Promise.resolve({ path: root }) };
  const ignore = parts.job.progress.vertex('ignore', '[internal] load .dockerignore');
  const ignored = await ignore.run(async () => {
    const own = found.directory && (await readFirst(parts, found.directory, [ownIgnoreFile(name)]));
    if (own !== undefined) return parseIgnoreFile(own);
    const directory = await receive(parts, key, { follow: ['.dockerignore'] }, ignore);
    return parseIgnoreFile((await readFirst(parts, directory, ['.dockerignore'])) ?? '');
  });
  return {
    dockerfile: { name, text: found.text },
    ignored,
    async context(paths) {
      const follow = paths && followed(paths);
      if (follow?.length === 0) return { path: await emptyDirectory(parts) };
      const vertex = parts.job.progress.vertex('context', '[internal] load build context');
      return await vertex.run(() => receiveChanges(parts, key, { follow, exclude: ignored }, vertex));
    },
  };
}

/** Paths without what only this side understands; undefined when one means the whole context. */
function followed(paths: ReadonlySet<string>): string[] | undefined {
  const all = new Set<string>();
  for (const path of paths) {
    const clean = posix.join('/', path).slice(1).replace(/\/$/, '');
    const names = clean.split('/');
    const deep = names.findIndex(name => name.includes('**'));
    const known = deep === -1 ? clean : names.slice(0, deep).join('/');
    if (known === '') return undefined;
    all.add(known);
  }
  return [...all];
}

/** A directory of the client's, by the name it is offered under. */
export async function receiveNamed(parts: FrontendParts, name: string): Promise<ReceivedContext> {
  const vertex = parts.job.progress.vertex(`context ${name}`, `[context ${name}] load from client`);
  return await vertex.run(async () => {
    const found = await receive(parts, name, { follow: ['.dockerignore'] }, vertex);
    const exclude = parseIgnoreFile((await readFirst(parts, found, ['.dockerignore'])) ?? '');
    return await receiveChanges(parts, name, { exclude }, vertex);
  });
}

interface Meter {
  part(id: string, amount: { readonly current?: number; readonly isDone?: boolean }): void;
}

async function receive(parts: FrontendParts, name: string, wanted: Omit<WantedFiles, 'directory'>, meter: Meter): Promise<string> {
  const directory = await emptyDirectory(parts);
  await receiveInto(parts, await sessionFor(parts, name), { directory: name, ...wanted }, meter, directory);
  return directory;
}

/** The same into a directory that an earlier build may have filled: only what has changed since comes. */
async function receiveChanges(
  parts: FrontendParts,
  name: string,
  wanted: Omit<WantedFiles, 'directory'>,
  meter: Meter,
): Promise<ReceivedContext> {
  const session = await sessionFor(parts, name);
  // A client that does not say who it is cannot be known again.
  if (session.sharedKey === '') return { path: await receive(parts, name, wanted, meter) };
  const kept = parts.job.use(await parts.builds.keptContext(JSON.stringify([session.sharedKey, name]), name));
  const known = new Map((kept.note ?? []) as readonly (readonly [path: string, file: string])[]);
  let hasChanged = kept.note === undefined;
  const onChange = (): void => {
    hasChanged = true;
    kept.spoil();
  };
  try {
    await receiveInto(parts, session, { directory: name, ...wanted }, meter, kept.path, { known, onChange });
  } finally {
    // What has come before a transfer broke off does not have to come again.
    if (hasChanged) await kept.keep([...known]);
  }
  return { path: kept.path, digests: kept.digests };
}

async function sessionFor({ sessions, job, options }: FrontendParts, name: string): Promise<ClientSession> {
  return await sessions.get(options[`local-sessionid:${name}`] || job.sessionId, job.signal);
}

async function receiveInto(
  { job, builds }: FrontendParts,
  session: ClientSession,
  wanted: WantedFiles,
  meter: Meter,
  directory: string,
  former?: FormerFiles,
): Promise<void> {
  const what = `transferring ${wanted.directory}:`;
  meter.part(what, {});
  const { bytes } = await receiveDirectory(session, wanted, directory, meterEvery(meter, what), job.signal, {
    former,
    setAttributes: builds.setAttributes,
  });
  meter.part(what, { current: bytes, isDone: true });
}

const quietMs = 100;

function meterEvery(meter: Meter, what: string): (bytes: number) => void {
  let last = 0;
  return current => {
    if (performance.now() - last < quietMs) return;
    last = performance.now();
    meter.part(what, { current });
  };
}

async function emptyDirectory({ builds, job }: FrontendParts): Promise<string> {
  return job.use(await builds.contextDirectory()).path;
}

async function readFirst({ builds }: FrontendParts, directory: string, names: readonly string[]): Promise<string | undefined> {
  for (const name of names) {
    try {
      return await builds.readText(directory, name);
    } catch (err) {
      if (kindOf(err) !== 'NotFound') throw err;
    }
  }
  return undefined;
}

interface FetchedContext {
  readonly directory: string;
  /** That of a Dockerfile which is all there is. */
  readonly text: string | undefined;
}

/** A context that is not a directory of the client's; undefined when it is one. */
async function remoteContext(parts: FrontendParts, key: string): Promise<{ fetch(): Promise<FetchedContext> } | undefined> {
  const { builds, sessions, job, options } = parts;
  const given = await parts.input(inputName(options.context) ?? key);
  if (given !== undefined) return { fetch: async () => ({ directory: await given.view(), text: undefined }) };
  const remote = options.context;
  const { upload } = job;
  if (remote === undefined && upload === undefined) return undefined;
  const unpacked = async (archive: AsyncIterable<Uint8Array>, directory: string): Promise<FetchedContext> => {
    await builds.unpack(archive, directory, job.signal);
    return { directory, text: undefined };
  };
  const vertex = job.progress.vertex('remote', `[internal] load remote build context`);
  return {
    fetch: () =>
      vertex.run(async () => {
        const directory = await emptyDirectory(parts);
        if (remote === undefined) return await unpacked(upload ?? nothing(), directory);
        const url = /^https?:\/\/buildkit-session\//.test(remote) ? new URL(remote) : undefined;
        if (url === undefined) return { directory, text: await fetchContext(builds, remote, directory, job.signal) };
        return await unpacked(pullUpload(await sessions.get(job.sessionId, job.signal), url, job.signal), directory);
      }),
  };
}

const inputName = (context: string | undefined): string | undefined => /^input:(.+)$/.exec(context ?? '')?.[1];

async function* nothing(): AsyncGenerator<Uint8Array, void, undefined> {
  await Promise.resolve();
}

/** A context of its own, for `--build-context name=URL`. */
export async function fetchNamed(parts: FrontendParts, name: string, remote: string): Promise<string> {
  const vertex = parts.job.progress.vertex(`context ${name}`, `[context ${name}] ${withoutUserInfo(remote)}`);
  return await vertex.run(async () => {
    const directory = await emptyDirectory(parts);
    const text = await fetchContext(parts.builds, remote, directory, parts.job.signal);
    if (text !== undefined) throw invalidArgument(`the context ${name} is neither a Git repository nor an archive: ${remote}`);
    return directory;
  });
}
