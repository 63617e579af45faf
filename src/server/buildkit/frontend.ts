import { invalidArgument, notImplemented } from '#base/errors.ts';
import type { Attributes, Result, TypeAndAttributes } from '#api/buildkit/messages.ts';
import { type FindImage, pathsOfBuild } from '#builder/dockerfile/context-paths.ts';
import { syntaxOf } from '#builder/dockerfile/directives.ts';
import { parseDockerfile } from '#builder/dockerfile/parse.ts';
import { planStages } from '#builder/dockerfile/stages.ts';
import type { BuildRequest, NamedContext } from '#builder/request.ts';
import type { SolvedBuild } from '#builder/solver/solve.ts';
import { formatPlatform, hostPlatform, type Platform } from '#oci/platform.ts';
import { sha256 } from '#oci/digest.ts';
import type { ImageConfigFile } from '#oci/image-config.ts';
import type { FrontendContext } from './frontend-context.ts';
import type { Services } from '../ports.ts';
import { type AttestOptions, attestOptions } from './attest-options.ts';
import { importsOf, openCaches } from './cache-imports.ts';
import { authOf, secretsOf } from './client-services.ts';
import { fetchNamed, type FilesOfBuild, type FrontendParts, openFiles, receiveNamed } from './frontend-files.ts';
import { type FrontendOptions, frontendOptions, withPrefix } from './frontend-options.ts';
import { runGraph } from './graph-build.ts';
import type { Inputs, Job } from './job.ts';
import { loadLayout } from './oci-layout.ts';
import { StepObserver } from './observer.ts';
import { graphOf } from './result-graph.ts';
import { StepError } from './status.ts';
import { answerSubrequest } from './subrequests.ts';
import { withoutCredentials } from './without-credentials.ts';

export interface FrontendRun {
  readonly options: Attributes;
  readonly inputs?: Inputs;
  /** Caches to look into. */
  readonly imports?: readonly TypeAndAttributes[];
}

/** Builds what a Dockerfile says, for each of the platforms. What comes of it is the job's. */
export async function runFrontend(
  context: FrontendContext,
  job: Job,
  { options: given, inputs = {}, imports = [] }: FrontendRun,
): Promise<Result> {
  const { services, sessions } = context;
  const options = withEpoch(given, job.sourceDateEpoch);
  job.options ??= options;
  const parts: FrontendParts = {
    builds: services.builds,
    sessions,
    job,
    options,
    input: openInputs(context, job, inputs),
  };
  const wanted = frontendOptions(options, job.entitlements);
  const attest = attestOptions(options);
  const files = await openFiles(parts);
  checkSyntax(options, files);
  const findImage: FindImage = name => localConfig(services.images, name);
  if ((options.requestid ?? '') !== '') return await answerSubrequest(options.requestid ?? '', wanted, files, findImage);
  const requests = await requestsOf(context, parts, wanted, files, { findImage, imports: importsOf(imports, options) });
  const solved = await Promise.all(requests.map(request => solveOne(context, job, request, { wanted, attest, options })));
  return wanted.isMultiPlatform ? indexResult(solved) : singleResult(solved);
}

const epochName = 'build-arg:SOURCE_DATE_EPOCH';

const withEpoch = (options: Attributes, epoch: string | undefined): Attributes =>
  epoch === undefined || options[epochName] !== undefined ? options : { ...options, [epochName]: epoch };

/** What the client hands over, each graph built once whatever names it has. */
function openInputs(context: FrontendContext, job: Job, inputs: Inputs): FrontendParts['input'] {
  const built = new Map<string, Promise<SolvedBuild>>();
  return async name => {
    const definition = inputs[name];
    const last = definition?.def.at(-1);
    if (definition === undefined || last === undefined) return undefined;
    const key = sha256(last);
    const build = built.get(key) ?? runGraph(context, job, definition).then(id => job.result(id).build);
    built.set(key, build);
    return await build;
  };
}

interface Solved {
  readonly id: string;
  readonly build: SolvedBuild;
}

const encoder = new TextEncoder();
const json = (value: unknown): Uint8Array => encoder.encode(JSON.stringify(value));

function singleResult([solved]: readonly Solved[]): Result {
  if (solved === undefined) return { metadata: {} };
  return { ref: { id: solved.id, def: graphOf(solved.id) }, metadata: { 'containerimage.config': json(solved.build.config) } };
}

function indexResult(all: readonly Solved[]): Result {
  const named = all.map(({ id, build }) => ({ id, name: formatPlatform(build.platform), build }));
  const platforms = named.map(({ name, build }) => ({ ID: name, Platform: build.platform }));
  return {
    refs: { refs: Object.fromEntries(named.map(({ name, id }) => [name, { id, def: graphOf(id) }])) },
    metadata: {
      'refs.platforms': json({ Platforms: platforms }),
      ...Object.fromEntries(named.map(({ name, build }) => [`containerimage.config/${name}`, json(build.config)])),
    },
  };
}

async function solveOne(
  { services }: FrontendContext,
  job: Job,
  request: BuildRequest,
  { wanted, attest, options }: { readonly wanted: FrontendOptions; readonly attest: AttestOptions; readonly options: Attributes },
): Promise<Solved> {
  const observer = new StepObserver(job.progress, wanted.isMultiPlatform ? formatPlatform(request.platform ?? hostPlatform()) : '');
  try {
    const build = await services.builds.solve(request, observer, job.signal);
    const facts = { attest, options: withoutCredentials(options), dockerfile: request.dockerfile, images: observer.images };
    return { id: job.keep({ build, facts }), build };
  } catch (err) {
    job.signal.throwIfAborted();
    const { failedStep } = observer;
    if (failedStep === undefined) throw err;
    throw new StepError(err, observer.failedVertex, { range: failedStep.range, source: { ...request.dockerfile } });
  }
}

/** One request for each platform, over the same files. */
async function requestsOf(
  context: FrontendContext,
  parts: FrontendParts,
  wanted: FrontendOptions,
  files: FilesOfBuild,
  { findImage, imports }: { readonly findImage: FindImage; readonly imports: readonly TypeAndAttributes[] },
): Promise<BuildRequest[]> {
  const { job } = parts;
  const platforms: readonly (Platform | undefined)[] = wanted.platforms.length === 0 ? [undefined] : wanted.platforms;
  const named = await namedContexts(parts);
  const received = await files.context(await pathsNeeded(wanted, files, named, findImage));
  const session = await context.sessions.get(job.sessionId, job.signal).catch(() => undefined);
  const { platforms: _platforms, isMultiPlatform: _isMultiPlatform, ...common } = wanted;
  return platforms.map(platform => ({
    ...common,
    dockerfile: files.dockerfile,
    contextDir: received.path,
    contextDigests: received.digests,
    namedContexts: contextsFor(named, platform),
    platform,
    openCaches: workspace => openCaches(imports, { job, session, workspace, platform: platform ?? hostPlatform() }),
    names: [],
    squash: false,
    authOf: domain => session && authOf(session, domain, job.signal),
    secrets: session === undefined ? { secret: () => Promise.resolve(undefined) } : secretsOf(session),
  }));
}

/** The paths of the context that the build can read; undefined when that is not known beforehand. */
async function pathsNeeded(
  wanted: FrontendOptions,
  { dockerfile }: FilesOfBuild,
  named: ReadonlyMap<string, NamedContext>,
  findImage: FindImage,
): Promise<ReadonlySet<string> | undefined> {
  const parsed = parseDockerfile(dockerfile.text, { name: dockerfile.name });
  const all = new Set<string>();
  for (const platform of wanted.platforms.length === 0 ? [hostPlatform()] : wanted.platforms) {
    const plan = planStages(parsed, {
      buildArgs: wanted.buildArgs,
      buildPlatform: hostPlatform(),
      targetPlatform: platform,
      target: wanted.target,
      namedContexts: new Set(named.keys()),
    });
    const dispatching = {
      source: parsed.source,
      escape: parsed.directives.escape,
      buildArgs: wanted.buildArgs,
      globals: plan.globals,
    };
    const paths = await pathsOfBuild(plan, dispatching, { targetPlatform: platform, findImage });
    if (paths === undefined) return undefined;
    for (const path of paths) all.add(path);
  }
  return all;
}

async function localConfig(images: Services['images'], name: string): Promise<ImageConfigFile | undefined> {
  try {
    return (await images.inspect(name)).config;
  } catch {
    // Not here yet: what it wants of the context is not known.
    return undefined;
  }
}

/** What stands for other names; a name may be meant for one platform only (`name::linux/arm64`). */
async function namedContexts(parts: FrontendParts): Promise<ReadonlyMap<string, NamedContext>> {
  const given = withPrefix(parts.options, 'context:');
  const found = await Promise.all(given.map(async ([name, value]) => [name, await namedContext(parts, name, value)] as const));
  return new Map(found);
}

async function namedContext(parts: FrontendParts, name: string, value: string): Promise<NamedContext> {
  const [, scheme = '', rest = ''] = /^([a-z-]+):(?:\/\/)?(.*)$/.exec(value) ?? [];
  if (scheme === 'docker-image') return { kind: 'image', reference: rest };
  if (scheme === 'local') return { kind: 'directory', ...(await receiveNamed(parts, rest)) };
  if (scheme === 'input') {
    const build = await parts.input(rest);
    if (build === undefined) throw invalidArgument(`the named context ${name} is the input ${rest}, which the client has not handed over`);
    return { kind: 'built', build };
  }
  if (scheme === 'oci-layout') {
    const { job } = parts;
    const vertex = job.progress.vertex(`context ${name}`, `[context ${name}] load image from OCI layout`);
    return {
      kind: 'foreign',
      load: (workspace, platform) =>
        vertex.run(async () => {
          const session = await parts.sessions.get(job.sessionId, job.signal);
          return await loadLayout(session, rest, { workspace, platform, signal: job.signal });
        }),
    };
  }
  return { kind: 'directory', path: await fetchNamed(parts, name, value) };
}

function contextsFor(named: ReadonlyMap<string, NamedContext>, platform: Platform | undefined): ReadonlyMap<string, NamedContext> {
  const suffix = `::${formatPlatform(platform ?? hostPlatform())}`;
  const found = new Map([...named].filter(([name]) => !name.includes('::')));
  for (const [name, value] of named) if (name.endsWith(suffix)) found.set(name.slice(0, -suffix.length), value);
  return found;
}

const readsDockerfiles = (image: string): boolean => /^(?:docker\.io\/)?docker\/dockerfile(?:-upstream)?(?:[:@]|$)/.test(image);

/** Rejects with NotImplemented for a file that is for another frontend (`# syntax=`). */
function checkSyntax(options: Attributes, { dockerfile }: FilesOfBuild): void {
  const asked = options['build-arg:BUILDKIT_SYNTAX'];
  const syntax = asked === undefined || asked === '' ? syntaxOf(dockerfile.text) : asked;
  const [image = ''] = syntax?.split(' ', 1) ?? [];
  if (image === '' || readsDockerfiles(image)) return;
  throw notImplemented(`the frontend ${image} is not run by this daemon: it builds Dockerfiles itself, those for docker/dockerfile`);
}

/** The attributes for building a Dockerfile. Rejects with NotImplemented for a frontend that does something else. */
export function attributesFor(frontend: string, attributes: Attributes): Attributes {
  if (frontend === 'dockerfile.v0' || (frontend === 'gateway.v0' && readsDockerfiles(attributes.source ?? ''))) return attributes;
  const what = frontend === 'gateway.v0' ? `${frontend} ${attributes.source ?? ''}` : frontend;
  throw notImplemented(`the frontend ${what} is not run by this daemon: it builds Dockerfiles, through the frontend dockerfile.v0`);
}
