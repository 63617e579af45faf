import { errorMessage } from '#api/json-stream.ts';
import { invalidArgument, kindOf, messageOf, notFound } from '#base/errors.ts';
import { IgnoreMatcher, ownIgnoreFile, parseIgnoreFile } from '#builder/dockerfile/ignore.ts';
import { familiarString } from '#oci/reference.ts';
import type { ApiRequest } from '../api-request.ts';
import { buildErrorMessage, ClassicBuildStream } from '../classic-build.ts';
import type { BuildKit } from '../buildkit/buildkit.ts';
import type { Services } from '../ports.ts';
import { messagesReply } from '../progress-stream.ts';
import { empty, json } from '../reply.ts';
import type { Reply } from '../reply.ts';
import { fetchContext } from '../remote-context.ts';
import { route } from '../router.ts';
import type { Route } from '../router.ts';
import { buildParameters, pruneOptions } from '../translate/build.ts';
import { engineBuild } from '../translate/buildkit-build.ts';

export function buildRoutes(services: Services, buildKit: () => Promise<BuildKit>): Route[] {
  /** Builds under way that a client has given an id. */
  const running = new Map<string, AbortController>();
  return [
    route('POST /build', request => {
      const isBuildKit = request.query.text('version') === '2';
      return isBuildKit ? buildKitReply(request, buildKit, running) : buildReply(request, services, running);
    }),
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
  if (query.text('remote') === 'client-session') throw invalidArgument('the context of a session is for builds by BuildKit: add version=2');
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

function buildKitReply(request: ApiRequest, buildKit: () => Promise<BuildKit>, running: Map<string, AbortController>): Reply {
  const build = engineBuild(request);
  const id = request.query.text('buildid');
  const cancel = new AbortController();
  if (id !== '') running.set(id, cancel);
  return messagesReply(
    async put => {
      try {
        await (await buildKit()).build(build, put, AbortSignal.any([request.signal, cancel.signal]));
      } finally {
        running.delete(id);
      }
    },
    err => errorMessage(messageOf(err)),
  );
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
