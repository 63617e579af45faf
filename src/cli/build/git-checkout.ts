import { mkdtemp, rm } from 'node:fs/promises';
import { lstatSync, realpathSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { GitReference } from '#builder/dockerfile/git-reference.ts';
import { ExitError } from '../errors.ts';

export interface Checkout extends AsyncDisposable {
  /** The directory that was asked for, inside the working tree. */
  readonly path: string;
}

/** Fetches what a Git URL names into a directory of its own, which is removed when this is disposed. */
export async function checkOut(reference: GitReference, { signal }: { signal: AbortSignal }): Promise<Checkout> {
  const folder = await mkdtemp(join(tmpdir(), 'berth-context-'));
  await using undo = new AsyncDisposableStack();
  undo.defer(() => rm(folder, { recursive: true, force: true }));
  await fetchInto(folder, reference, signal);
  const path = findDirectory(folder, reference.subdirectory ?? '');
  if (reference.keepGitDir !== true) await rm(join(folder, '.git'), { recursive: true, force: true });
  const kept = undo.move();
  return { path, [Symbol.asyncDispose]: () => kept[Symbol.asyncDispose]() };
}

async function fetchInto(folder: string, { remote, ref = 'HEAD', checksum, submodules }: GitReference, signal: AbortSignal): Promise<void> {
  const git: Git = (...args) => runGit(['-C', folder, ...args], signal);
  if (remote.startsWith('-') || ref.startsWith('-')) throw new ExitError(1, `unable to prepare context: invalid Git URL: ${remote}#${ref}`);
  await git('init', '--quiet');
  await git('remote', 'add', 'origin', remote);
  await fetchRef(git, ref);
  if (checksum !== undefined) {
    const commit = (await git('rev-parse', 'HEAD')).trim();
    if (!commit.startsWith(checksum)) throw new ExitError(1, `unable to prepare context: expected commit ${checksum}, got ${commit}`);
  }
  if (submodules !== false) await git('submodule', '--quiet', 'update', '--init', '--recursive', '--depth', '1');
}

type Git = (...args: string[]) => Promise<string>;

/** Checks out a branch, a tag or a commit. The one commit is enough, if the server lets us have it; some know no commits by their numbers. */
async function fetchRef(git: Git, ref: string): Promise<void> {
  for (const depth of [['--depth', '1'], []]) {
    try {
      await git('fetch', '--quiet', ...depth, 'origin', '--', ref);
      await git('checkout', '--quiet', '--detach', 'FETCH_HEAD');
      return;
    } catch (err) {
      if (!(err instanceof ExitError)) throw err;
    }
  }
  await git('fetch', '--quiet', '--tags', 'origin', '+refs/heads/*:refs/remotes/origin/*');
  try {
    await git('checkout', '--quiet', '--detach', `${ref}^{commit}`);
  } catch (err) {
    if (!(err instanceof ExitError)) throw err;
    throw new ExitError(1, `unable to prepare context: unable to 'git fetch' ${ref}: the repository has no such branch, tag or commit`, {
      cause: err,
    });
  }
}

async function runGit(args: readonly string[], signal: AbortSignal): Promise<string> {
  let child: Bun.Subprocess<'ignore', 'pipe', 'pipe'>;
  try {
    child = Bun.spawn(['git', '-c', 'protocol.ext.allow=never', ...args], {
      stdin: 'ignore',
      stdout: 'pipe',
      stderr: 'pipe',
      env: { ...process.env, GIT_TERMINAL_PROMPT: '0', GIT_CONFIG_NOSYSTEM: '1' },
      signal,
    });
  } catch (err) {
    throw new ExitError(1, "unable to prepare context: unable to find 'git': install git to build from a repository", { cause: err });
  }
  const [output, errors, exitCode] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  signal.throwIfAborted();
  if (exitCode !== 0) throw new ExitError(1, `unable to prepare context: git ${args[2] ?? ''}: ${errors.trim()}`);
  return output;
}

/** A directory of the working tree; a symbolic link must not lead out of it. */
function findDirectory(folder: string, subdirectory: string): string {
  const path = join(folder, subdirectory);
  const isDirectory = lstatSync(path, { throwIfNoEntry: false }) !== undefined;
  const real = isDirectory ? realpathSync(path) : '';
  if (real !== realpathSync(folder) && !real.startsWith(`${realpathSync(folder)}/`)) {
    throw new ExitError(1, `unable to prepare context: the repository has no directory "${subdirectory}"`);
  }
  return real;
}
