import type { Attributes, Definition, Result, Status, TypeAndAttributes } from '#api/buildkit/messages.ts';
import type { HistoryDocument, RecordDocuments } from '#builder/history/build-record.ts';
import { formatPlatform } from '#oci/platform.ts';
import { attestOptions } from './attest-options.ts';
import { provenanceOf } from './attestations.ts';
import { checkExports, exportResult, type ExportResponse, resultsOf } from './export.ts';
import { attributesFor, runFrontend } from './frontend.ts';
import { runGraph } from './graph-build.ts';
import type { ControlContext } from './control-context.ts';
import { encodeLogs, logsMediaType } from './history.ts';
import type { Job } from './job.ts';
import { graphOf } from './result-graph.ts';
import { encodeStatus, statusOf } from './status.ts';
import { traceMediaType, traceOf } from './trace.ts';
import { withoutCredentials } from './without-credentials.ts';

/** What a build is to do. */
export interface Plan {
  /** Empty: the client runs the plan itself, unless it gives a graph. */
  readonly frontend: string;
  readonly graph: Definition | null;
  readonly options: Attributes;
  readonly exporters: readonly TypeAndAttributes[];
  readonly cache: CacheOptions;
  /** Clients do it for themselves: nobody wants to read of it later. */
  readonly isInternal: boolean;
}

export interface CacheOptions {
  readonly imports: readonly TypeAndAttributes[];
  readonly exports: readonly TypeAndAttributes[];
}

interface Ended {
  readonly response: ExportResponse;
  readonly attestations: Readonly<Record<string, readonly HistoryDocument[]>>;
}

const nothing: Ended = { response: {}, attestations: {} };

/** Builds and exports, lets go of everything that the build held, and remembers what it was. */
export async function runRecorded(context: ControlContext, job: Job, plan: Plan): Promise<ExportResponse> {
  const { history } = context.services.builds;
  const begun = {
    ref: job.ref,
    frontend: plan.frontend,
    options: withoutCredentials(plan.options),
    exporters: plan.exporters.map(({ Type, Attrs }) => ({ type: Type, attributes: withoutCredentials(Attrs) })),
    createdAt: new Date(job.startedMs).toISOString(),
  };
  if (plan.isInternal) return (await runToEnd(context, job, plan)).response;
  history.begin(begun);
  let ended = nothing;
  let failure: unknown;
  try {
    ended = await runToEnd(context, job, plan);
    return ended.response;
  } catch (err) {
    failure = err;
    throw err;
  } finally {
    const completedMs = Date.now();
    const status = errorOf(job, failure);
    await history.end({
      ...begun,
      options: withoutCredentials(job.options ?? plan.options),
      completedAt: new Date(completedMs).toISOString(),
      ...(status !== undefined && { error: { code: status.code, message: status.message } }),
      response: ended.response,
      steps: job.progress.counts(),
      documents: documentsOf(context, job, { ...ended, completedMs, status }),
    });
  }
}

/** What is remembered of what was wrong. Clients know by these words who has ended a build. */
function errorOf(job: Job, failure: unknown): Status | undefined {
  if (failure === undefined) return undefined;
  return job.isGivenUp ? { code: canceled, message: 'context canceled', details: [] } : statusOf(failure);
}

const canceled = 1;

function documentsOf(
  { version }: ControlContext,
  job: Job,
  { attestations, completedMs, status }: Ended & { readonly completedMs: number; readonly status: Status | undefined },
): RecordDocuments<HistoryDocument> {
  const build = { ref: job.ref, startedMs: job.startedMs, endedMs: completedMs, error: status?.message ?? '', version };
  return {
    logs: { mediaType: logsMediaType, bytes: encodeLogs(job.progress.said()) },
    trace: { mediaType: traceMediaType, bytes: traceOf(build, job.progress.vertexes()) },
    ...(status !== undefined && { error: { mediaType: 'application/vnd.googeapis.google.rpc.status+proto', bytes: encodeStatus(status) } }),
    attestations,
  };
}

async function runToEnd(context: ControlContext, job: Job, plan: Plan): Promise<Ended> {
  await using _job = job;
  const { exporters, cache } = plan;
  checkExports(exporters, cache.exports);
  const result = await resultOf(context, job, plan);
  if (result === null) return nothing;
  const response = await exportResult({ context, job, result, cacheExports: cache.exports }, exporters);
  return { response, attestations: plan.isInternal ? {} : await attestationsOf(context, job, result) };
}

async function resultOf(context: ControlContext, job: Job, { frontend, graph, options, cache }: Plan): Promise<Result | null> {
  const { imports } = cache;
  if (frontend !== '') return await runFrontend(context, job, { options: attributesFor(frontend, options), inputs: job.inputs, imports });
  // The client runs the plan itself, and says what has come of it.
  if (graph === null || graph.def.length === 0) return await job.returned();
  const id = await runGraph(context, job, graph, { attest: attestOptions(options), imports });
  return id === '' ? { metadata: {} } : { ref: { id, def: graphOf(id) }, metadata: {} };
}

/** How each result was made. */
async function attestationsOf(context: ControlContext, job: Job, result: Result): Promise<Ended['attestations']> {
  const results = resultsOf(job, result);
  const documents = results.map(async each => {
    const { type, value } = await provenanceOf(context, job, each, { mode: 'max', version: 'v0.2', isReproducible: false, builderId: '' });
    const document: HistoryDocument = {
      mediaType: 'application/vnd.in-toto+json',
      bytes: new TextEncoder().encode(JSON.stringify(value, undefined, 2)),
      annotations: { 'in-toto.io/predicate-type': type },
    };
    return [result.ref === undefined ? formatPlatform(each.build.platform) : '', [document]] as const;
  });
  return Object.fromEntries(await Promise.all(documents));
}
