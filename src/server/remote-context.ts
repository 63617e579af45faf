import { invalidArgument } from '#base/errors.ts';
import { parseGitReference } from '#builder/dockerfile/git-reference.ts';
import type { BuildService } from '#builder/service.ts';

export type ContextTools = Pick<BuildService, 'remotes' | 'contextDirectory' | 'unpack'>;

/**
 * Brings a build context here from where a URL says: a Git repository, an archive, or a Dockerfile alone, whose text is returned then. Rejects with
 * InvalidArgument for what is neither.
 */
export async function fetchContext(
  builds: ContextTools,
  remote: string,
  directory: string,
  signal: AbortSignal,
): Promise<string | undefined> {
  const written = /^(?:github\.com\/|git@|git:)/.test(remote) ? gitShorthand(remote) : remote;
  const git = parseGitReference(written);
  if (git !== undefined) {
    await builds.remotes.checkout(
      {
        url: git.remote,
        ref: git.ref ?? '',
        subdirectory: git.subdirectory ?? '',
        keepGitDirectory: git.keepGitDir ?? false,
        checksum: git.checksum,
        submodules: git.submodules ?? true,
      },
      directory,
      signal,
    );
    return undefined;
  }
  if (!/^https?:\/\//.test(remote))
    throw invalidArgument(`unable to build from ${JSON.stringify(remote)}: it is neither a Git repository nor a URL`);
  await using place = await builds.contextDirectory();
  const { path, contentType } = await builds.remotes.download(remote, place.path, {}, signal);
  if (/^text\/plain/.test(contentType)) return await Bun.file(path).text();
  await builds.unpack(Bun.file(path).stream(), directory, signal);
  return undefined;
}

const gitShorthand = (remote: string): string =>
  remote.startsWith('github.com/') ? `https://${remote.replace(/(\.git)?(#|$)/, '.git$2')}` : remote;
