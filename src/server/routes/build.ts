import { invalidArgument, kindOf, messageOf, notFound, notImplemented } from '#base/errors.ts';
import { parseGitReference } from '#builder/dockerfile/git-reference.ts';
import { IgnoreMatcher, ownIgnoreFile, parseIgnoreFile } from '#builder/dockerfile/ignore.ts';
import { familiarString } from '#oci/reference.ts';
import type { ApiRequest } from '../api-request.ts';
import { buildErrorMessage, ClassicBuildStream } from '../classic-build.ts';
import type { Services } from '../ports.ts';
import { messagesReply } from '../progress-stream.ts';
import { empty, json } from '../reply.ts';
import type { Reply } from '../reply.ts';
import { route } from '../router.ts';
import type { Route } from '../router.ts';
import { buildParameters, pruneOptions } from '../translate/build.ts';

export function buildRoutes(services: Services): Route[] {
  /** Builds under way that a client has given an id. */
  const running = new Map<string, AbortController>();
  return [
    route('POST /build', request => buildReply(request, services, running)),
    route('POST /build/cancel', request => {
      const id = request.query.text('id');
      if (id === '') throw invalidArgument('build ID not provided');
      running.get(id)?.abort(new DOMException('the build was canceled', 'AbortError'));
      return empty(200);
    }),
    route(
      'POST /build/prune',
      async request => {
        const { ids, reclaimedBytes } = await services.builds.prune(pruneOptions(request));
        return json({ CachesDeleted: ids.length === 0 ? null : ids, SpaceReclaimed: reclaimedBytes });
      },
      { since: '1.31' },
    ),
  ];
}

function buildReply(request: ApiRequest, { builds }: Services, running: Map<string, AbortController>): Reply {
  const { query } = request;
  if (query.text('version') === '2')
    throw notImplemented('builds with version=2 need BuildKit sessions, which this daemon does not serve yet');
  if (query.text('remote') === 'client-session') throw notImplemented('contexts of client sessions are not served by this daemon yet');
  const parameters = buildParameters(request);
  const id = query.text('buildid');
  const cancel = new AbortController();
  if (id !== '') running.set(id, cancel);
  return messagesReply(async put => {
    try {
      const signal = AbortSignal.any([request.signal, cancel.signal]);
      await using context = await builds.contextDirectory();
      const dockerfile = await receiveContext(request, builds, context.path, signal);
      const stream = new ClassicBuildStream(put, query.bool('q'));
      try {
        const hasContext = dockerfile.hasContext;
        const { imageId } = await builds.build(
          { ...parameters, dockerfile, contextDir: hasContext ? context.path : undefined },
          stream,
          signal,
        );
        stream.built(imageId, parameters.names.map(familiarString));
      } catch (err) {
        stream.failed();
        throw err;
      }
    } finally {
      running.delete(id);
    }
  }, buildErrorMessage);
}

interface FoundDockerfile {
  readonly name: string;
  readonly text: string;
  readonly hasContext: boolean;
}

/** Brings the context here, from the request's body or from where `remote` says, and finds the Dockerfile in it. */
async function receiveContext(
  request: ApiRequest,
  builds: Services['builds'],
  directory: string,
  signal: AbortSignal,
): Promise<FoundDockerfile> {
  const remote = request.query.text('remote');
  if (remote === '') await builds.unpack(request.body, directory, signal);
  else {
    const text = await fetchContext(builds, remote, directory, signal);
    if (text !== undefined) return { name: 'Dockerfile', text, hasContext: true };
  }
  return await findDockerfile(builds, directory, request.query.optional('dockerfile') ?? 'Dockerfile');
}

/** Returns the text of a Dockerfile when that is all there is at this place. */
async function fetchContext(
  builds: Services['builds'],
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

async function findDockerfile(builds: Services['builds'], directory: string, name: string): Promise<FoundDockerfile> {
  const text = await readFirst(builds, directory, name === 'Dockerfile' ? [name, 'dockerfile'] : [name]);
  if (text === undefined) throw invalidArgument(`Cannot locate specified Dockerfile: ${name}`);
  if (text.trim() === '') throw invalidArgument(`The Dockerfile (${name}) cannot be empty`);
  const ignored = await readFirst(builds, directory, [ownIgnoreFile(name), '.dockerignore']);
  if (ignored !== undefined) {
    // Sent because they are needed, but not to be copied.
    const matcher = new IgnoreMatcher(parseIgnoreFile(ignored));
    for (const path of [name, '.dockerignore']) if (matcher.isExcluded(path)) await builds.removeFile(directory, path);
  }
  return { name, text, hasContext: true };
}

async function readFirst(builds: Services['builds'], directory: string, names: readonly string[]): Promise<string | undefined> {
  for (const name of names) {
    try {
      return await builds.readText(directory, name);
    } catch (err) {
      if (kindOf(err) !== 'NotFound') throw notFound(`cannot read ${name}: ${messageOf(err)}`, { cause: err });
    }
  }
  return undefined;
}
