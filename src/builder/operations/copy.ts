import { mkdir, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { invalidArgument } from '#base/errors.ts';
import type { BuildFiles, FileSource } from '#core/build-files.ts';
import type { ChainId } from '#core/snapshots.ts';
import { isHttpSource, parseGitReference } from '../dockerfile/git-reference.ts';
import type { AddOperation, CopyOperation } from '../dockerfile/operations.ts';
import type { KnownDigests } from '../request.ts';
import type { PreparedWork } from '../solver/perform.ts';
import type { BuildSession } from '../solver/session.ts';

/** The tree that an instruction takes files from. */
export interface SourceTree {
  readonly root: string;
  /** The chain of layers that it shows; undefined: it is a directory of the host. */
  readonly chain?: ChainId | undefined;
  /** Digests of what is in it that are known. */
  readonly digests?: KnownDigests | undefined;
  /** Files of the context belong to root, those of stages and images to whom they belonged there. */
  readonly keepOwners: boolean;
}

/** `COPY` and `ADD`: sources are fetched and looked at now, because what they hold decides whether there is anything to do. */
export async function prepareCopy(
  session: BuildSession,
  operation: CopyOperation | AddOperation,
  parent: ChainId | undefined,
  tree: SourceTree | undefined,
): Promise<PreparedWork> {
  const { files, steps } = session.context;
  const { destination, chown, chmod, link } = operation;
  const sources = await collectSources(session, operation, tree);
  const content = await digestOf(files, sources, tree, session.signal);
  // Names mean what the root says that the files go into; a linked layer knows none, so that they are looked up before.
  const namedOwner = chown !== undefined && !/^\d+(:\d+)?$/.test(chown);
  const ownerNow = link && chown !== undefined && namedOwner ? steps.owner(await session.view(parent), chown) : undefined;
  return {
    identity: {
      copy: content,
      destination,
      chown: ownerNow ?? chown ?? null,
      chmod: chmod ?? null,
      link,
      sources: sources.map(({ parents, excludes, unpack }) => [parents, excludes, unpack]),
    },
    description: operation.title,
    isLinked: link,
    isProcess: false,
    async perform({ rootPath }, _tell, signal) {
      const owner = ownerNow ?? (chown === undefined ? undefined : steps.owner(rootPath, chown));
      await files.copy(sources, { root: rootPath, path: destination, owner, mode: chmod }, signal);
    },
  };
}

/** The digest of what sources mean, known already if the files are those of an earlier build. */
export async function digestOf(
  files: Pick<BuildFiles, 'digest'>,
  sources: readonly FileSource[],
  tree: Pick<SourceTree, 'root' | 'digests'> | undefined,
  signal: AbortSignal,
): Promise<string> {
  const digests = tree !== undefined && sources.every(({ root }) => root === tree.root) ? tree.digests : undefined;
  const selection = JSON.stringify(sources.map(({ root: _root, ...rest }) => rest));
  const digest = digests?.get(selection) ?? (await files.digest(sources, signal));
  digests?.set(selection, digest);
  return digest;
}

async function collectSources(
  session: BuildSession,
  operation: CopyOperation | AddOperation,
  tree: SourceTree | undefined,
): Promise<FileSource[]> {
  const parents = operation.kind === 'copy' && operation.parents;
  const { excludes } = operation;
  const collected: FileSource[] = [];
  for (const pattern of operation.sources) {
    const remote = operation.kind === 'add' ? await fetchRemote(session, operation, pattern) : undefined;
    if (remote !== undefined) {
      collected.push(remote);
      continue;
    }
    if (tree === undefined) throw invalidArgument(`cannot copy ${JSON.stringify(pattern)}: there is no build context`);
    collected.push({ ...tree, pattern, parents, excludes, unpack: operation.kind === 'add' && operation.unpack !== false });
  }
  if (operation.files.length === 0) return collected;
  const root = await session.directory('documents');
  for (const { name, content } of operation.files) {
    await writeFile(join(root, name), content, { mode: 0o644 });
    await utimes(join(root, name), 0, 0);
    collected.push({ root, pattern: escapePattern(name), parents: false, excludes: [], keepOwners: false, unpack: false });
  }
  return collected;
}

const escapePattern = (name: string): string => name.replace(/[*?[\\]/g, '\\$&');

async function fetchRemote(session: BuildSession, operation: AddOperation, source: string): Promise<FileSource | undefined> {
  const { remotes } = session.context;
  const { signal } = session;
  const git = parseGitReference(source);
  if (git !== undefined) {
    const root = await session.directory('git');
    const checkout = {
      url: git.remote,
      ref: git.ref ?? '',
      subdirectory: git.subdirectory ?? '',
      keepGitDirectory: operation.keepGitDir ?? git.keepGitDir ?? false,
      checksum: operation.checksum ?? git.checksum,
      submodules: git.submodules ?? true,
    };
    await remotes.checkout(checkout, root, signal);
    return { root, pattern: '/', parents: false, excludes: operation.excludes, keepOwners: false, unpack: false };
  }
  if (!isHttpSource(source)) return undefined;
  const root = await session.directory('download');
  await mkdir(root, { recursive: true });
  const { path } = await remotes.download(source, root, { checksum: operation.checksum }, signal);
  const pattern = escapePattern(path.slice(root.length + 1));
  return { root, pattern, parents: false, excludes: [], keepOwners: false, unpack: operation.unpack === true };
}
