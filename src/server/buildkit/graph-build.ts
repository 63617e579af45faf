import type { Definition, TypeAndAttributes } from '#api/buildkit/messages.ts';
import type { Graph, SourceWork } from '#builder/llb/graph.ts';
import type { GraphObserver, GraphSources } from '#builder/llb/request.ts';
import { hostPlatform } from '#oci/platform.ts';
import { invalidArgument } from '#base/errors.ts';
import { type AttestOptions } from './attest-options.ts';
import { openCaches } from './cache-imports.ts';
import { authOf, secretsOf } from './client-services.ts';
import type { ClientSession } from './client-session.ts';
import type { FrontendContext } from './frontend-context.ts';
import { entitlementsOf } from './frontend-options.ts';
import type { Job } from './job.ts';
import { readGraph } from './llb-graph.ts';
import { loadLayout } from './oci-layout.ts';
import { pullSteps, type VertexProgress } from './progress.ts';
import { receiveDirectory } from './receive-directory.ts';
import { resultNamed, resultOf } from './result-graph.ts';
import { StepError } from './status.ts';

export interface GraphRun {
  readonly attest?: AttestOptions;
  /** Caches to look into. */
  readonly imports?: readonly TypeAndAttributes[];
}

/** Builds a graph. Returns the id that its result is known by; '' for a graph of nothing. */
export async function runGraph(context: FrontendContext, job: Job, definition: Definition, run: GraphRun = {}): Promise<string> {
  const graph = readGraph(definition);
  if (graph.root === undefined) return '';
  const known = resultOf(graph);
  if (known !== undefined) return job.result(known).id;
  const { services, sessions } = context;
  const session = await sessions.get(job.sessionId, job.signal).catch(() => undefined);
  const steps = new GraphSteps(job, graph);
  const build = await solveTold(steps, job, () =>
    services.builds.solveGraph(
      {
        graph,
        sources: sourcesOf(context, job, steps),
        entitlements: entitlementsOf(job.entitlements),
        authOf: domain => session && authOf(session, domain, job.signal),
        secrets: session === undefined ? { secret: () => Promise.resolve(undefined) } : secretsOf(session),
        openCaches: workspace => openCaches(run.imports ?? [], { job, session, workspace, platform: hostPlatform() }),
      },
      steps,
      job.signal,
    ),
  );
  const images = [...graph.nodes.values()].flatMap(({ work }) => imageOf(work));
  const facts = { attest: run.attest ?? { provenance: undefined, sbom: undefined }, options: {}, dockerfile: undefined, images };
  return job.keep({ build, facts });
}

/** Says which piece of work an error is of. */
async function solveTold<T>(steps: GraphSteps, job: Job, solve: () => Promise<T>): Promise<T> {
  try {
    return await solve();
  } catch (err) {
    job.signal.throwIfAborted();
    throw steps.failedDigest === undefined ? err : new StepError(err, steps.failedDigest);
  }
}

const imagePrefix = 'docker-image://';

const imageOf = (work: Graph['nodes'] extends ReadonlyMap<string, infer N extends { work: unknown }> ? N['work'] : never): string[] =>
  work.kind === 'source' && work.identifier.startsWith(imagePrefix) ? [work.identifier.slice(imagePrefix.length)] : [];

function sourcesOf({ services, sessions }: FrontendContext, job: Job, steps: GraphSteps): GraphSources {
  const sessionOf = (id: string | undefined): Promise<ClientSession> =>
    sessions.get(id === undefined || id === '' ? job.sessionId : id, job.signal);
  return {
    async directory({ identifier, attributes }, signal) {
      const name = identifier.slice('local://'.length);
      const directory = job.use(await services.builds.contextDirectory()).path;
      const wanted = {
        directory: name,
        include: patterns(attributes, 'local.includepattern'),
        exclude: patterns(attributes, 'local.excludepatterns'),
        follow: patterns(attributes, 'local.followpaths'),
      };
      const what = `transferring ${name}:`;
      const vertex = steps.ofSource(identifier);
      const { bytes } = await receiveDirectory(
        await sessionOf(attributes['local.session']),
        wanted,
        directory,
        current => vertex?.part(what, { current }),
        signal,
      );
      vertex?.part(what, { current: bytes, isDone: true });
      return directory;
    },
    async layout({ identifier, attributes }, workspace, platform, signal) {
      const [, name = '', digest = ''] = /^oci-layout:\/\/([^@]*)@(.*)$/.exec(identifier) ?? [];
      const store = attributes['oci.store'];
      const session = await sessionOf(attributes['oci.session']);
      return await loadLayout(session, `${store === undefined || store === '' ? name : store}@${digest}`, { workspace, platform, signal });
    },
    result(source) {
      const id = resultNamed(source.identifier);
      return id === undefined ? undefined : job.result(id).build;
    },
  };
}

/** Lists in attributes are JSON. */
function patterns(attributes: SourceWork['attributes'], name: string): string[] | undefined {
  const text = attributes[name];
  if (text === undefined || text === '') return undefined;
  try {
    const list: unknown = JSON.parse(text);
    if (Array.isArray(list) && list.every(each => typeof each === 'string')) return list;
  } catch {
    // Said below.
  }
  throw invalidArgument(`invalid ${name} ${JSON.stringify(text)}: expected a list of texts as JSON`);
}

/** Tells of the nodes of a graph as pieces of work. */
class GraphSteps implements GraphObserver {
  readonly #vertexes = new Map<string, VertexProgress>();
  readonly #bySource = new Map<string, VertexProgress>();
  /** Where the first error happened. */
  failedDigest: string | undefined;

  constructor(job: Job, { nodes }: Graph) {
    for (const { digest, name, inputs, work } of nodes.values()) {
      const vertex = job.progress.node(
        digest,
        name,
        inputs.map(input => input.digest),
      );
      this.#vertexes.set(digest, vertex);
      if (work.kind === 'source') this.#bySource.set(work.identifier, vertex);
    }
  }

  ofSource(identifier: string): VertexProgress | undefined {
    return this.#bySource.get(identifier);
  }

  started(digest: string): void {
    this.#vertexes.get(digest)?.start();
  }

  output(digest: string, stream: 'stdout' | 'stderr', chunk: Uint8Array): void {
    this.#vertexes.get(digest)?.output(stream, chunk);
  }

  progress(digest: string, progress: Parameters<GraphObserver['progress']>[1]): void {
    const vertex = this.#vertexes.get(digest);
    if (vertex !== undefined) pullSteps(vertex, progress);
  }

  finished(digest: string, isCached: boolean): void {
    this.#vertexes.get(digest)?.finish({ isCached });
  }

  failed(digest: string, err: unknown): void {
    // Those that are stopped because of the first one say nothing new.
    if (this.failedDigest !== undefined) return;
    this.failedDigest = digest;
    this.#vertexes.get(digest)?.fail(err);
  }
}
