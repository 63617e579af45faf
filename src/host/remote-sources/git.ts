import { cp, mkdir, mkdtemp, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { failedPrecondition, invalidArgument } from '#base/errors.ts';
import { createRootFiles } from '#host/rootfs/root-files.ts';
import { withoutPassword } from './download.ts';

export interface GitCheckout {
  readonly url: string;
  /** Branch, tag, commit; empty: the default branch. */
  readonly ref: string;
  readonly subdirectory: string;
  readonly keepGitDirectory: boolean;
  /** A commit that begins with this. */
  readonly checksum?: string | undefined;
  readonly submodules: boolean;
}

const rootFiles = createRootFiles();

/** Checks a commit out into a directory, by git itself. Only what the commit needs is fetched. Rejects with InvalidArgument, in git's words. */
export async function checkout(source: GitCheckout, directory: string, signal: AbortSignal): Promise<{ readonly commit: string }> {
  if (Bun.which('git') === null)
    throw failedPrecondition('the program "git" is not installed on this machine: builds need it for Git sources');
  if (source.url.startsWith('-') || source.ref.startsWith('-')) throw invalidArgument(`invalid Git source ${JSON.stringify(source.url)}`);
  await mkdir(directory, { recursive: true });
  const work = await mkdtemp(`${directory}.git-`);
  try {
    const git = (...args: string[]): Promise<string> => runGit(work, args, source, signal);
    await git('init', '-q', '.');
    await git('remote', 'add', 'origin', source.url);
    const fetched = await fetchRef(git, source.ref);
    await git('-c', 'advice.detachedHead=false', 'checkout', '-q', fetched);
    const commit = (await git('rev-parse', 'HEAD')).trim();
    if (source.checksum !== undefined && !commit.startsWith(source.checksum)) {
      throw invalidArgument(`expected checksum to match ${source.checksum}, got ${commit}`);
    }
    if (source.submodules) await git('submodule', 'update', '--init', '--recursive', '--depth=1');
    if (!source.keepGitDirectory) await rm(join(work, '.git'), { recursive: true, force: true });
    const wanted = rootFiles.resolve(work, `/${source.subdirectory}`);
    for (const name of await readdir(wanted)) await move(join(wanted, name), join(directory, name));
    return { commit };
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

async function move(from: string, to: string): Promise<void> {
  try {
    await rename(from, to);
  } catch {
    await cp(from, to, { recursive: true, verbatimSymlinks: true, preserveTimestamps: true });
  }
}

/** A branch or tag is fetched alone; a commit that the server does not give by its number is looked for in everything. Returns what to check out. */
async function fetchRef(git: (...args: string[]) => Promise<string>, ref: string): Promise<string> {
  try {
    await git('fetch', '-q', '--depth=1', '--no-tags', 'origin', ref === '' ? 'HEAD' : ref);
    return 'FETCH_HEAD';
  } catch (err) {
    if (!/^[0-9a-f]{7,64}$/.test(ref)) throw err;
    await git('fetch', '-q', '--tags', 'origin', '+refs/heads/*:refs/remotes/origin/*');
    return ref;
  }
}

async function runGit(cwd: string, args: readonly string[], source: GitCheckout, signal: AbortSignal): Promise<string> {
  const child = Bun.spawn(['git', ...args], {
    cwd,
    stdio: ['ignore', 'pipe', 'pipe'],
    signal,
    killSignal: 'SIGKILL',
    env: {
      PATH: process.env.PATH ?? '',
      HOME: cwd,
      // Nobody is there to be asked, and nothing of this machine's settings is the build's.
      GIT_TERMINAL_PROMPT: '0',
      GIT_CONFIG_NOSYSTEM: '1',
      GIT_ALLOW_PROTOCOL: 'http:https:git:ssh',
      GIT_SSH_COMMAND: 'ssh -o BatchMode=yes',
      LC_ALL: 'C',
    },
  });
  const [output, words] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text(), child.exited]);
  signal.throwIfAborted();
  if (child.exitCode === 0) return output;
  const reason = words.replaceAll(source.url, withoutPassword(source.url)).trim();
  throw invalidArgument(`cannot fetch ${withoutPassword(source.url)}: git ${args.find(arg => !arg.startsWith('-')) ?? ''}: ${reason}`);
}
