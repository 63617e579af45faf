import { invalidArgument, notImplemented } from '#base/errors.ts';
import type { Attributes, ControlSolveRequest, PruneRequest, TypeAndAttributes, UsageRecord } from '#api/buildkit/messages.ts';
import { type CacheEntry, isMutable } from '#builder/cache/list.ts';
import { hostPlatform } from '#oci/platform.ts';
import { roomOf } from '../translate/build.ts';
import { ClientSession } from './client-session.ts';
import { exportResult, type ExportResponse } from './export.ts';
import type { FrontendContext } from './frontend-context.ts';
import { type Inputs, runFrontend } from './frontend.ts';
import type { ServiceHandlers } from './grpc.ts';
import { Job, type Jobs, type Results } from './job.ts';
import { toTimestamp } from './progress.ts';

export interface ControlContext extends FrontendContext {
  readonly jobs: Jobs;
  readonly results: Results;
  /** Identifies this daemon. */
  readonly workerId: string;
  readonly version: string;
}

/** moby.buildkit.v1.Control: builds from beginning to end, and what the daemon keeps of them. */
export function controlService(context: ControlContext): ServiceHandlers {
  const { jobs, services, sessions } = context;
  return {
    tunnels: {
      // What `POST /session` is for clients that have a connection already.
      Session: async (connection, { metadata, all }) => {
        const head = {
          id: metadata('x-docker-expose-session-uuid'),
          sharedKey: metadata('x-docker-expose-session-sharedkey'),
          methods: all('x-docker-expose-session-grpc-method'),
        };
        await sessions.hold(new ClientSession(connection, head));
      },
    },
    unary: {
      ListWorkers: () => ({ record: [workerRecord(context)] }),
      Info: () => ({ buildkitVersion: versionOf(context) }),
      Solve: async (request: ControlSolveRequest, { signal }) => ({ ExporterResponse: await solve(context, request, signal) }),
      DiskUsage: async ({ filter }: { readonly filter: readonly string[] }) => ({
        record: (await services.builds.usage()).filter(matcher(filter)).map(toUsageRecord),
      }),
      UpdateBuildHistory: () => ({}),
    },
    streams: {
      async *Status({ Ref }: { readonly Ref: string }, { signal }) {
        const job = await jobs.get(Ref, signal);
        yield* job.progress.updates(signal);
      },
      async *Prune(request: PruneRequest) {
        const before = await services.builds.usage();
        const { ids } = await services.builds.prune(pruneOptions(request));
        for (const entry of before) if (ids.includes(entry.id)) yield toUsageRecord(entry);
      },
      // Builds that have ended are not remembered.
      async *ListenBuildHistory({ EarlyExit }: { readonly EarlyExit: boolean }, { signal }) {
        if (EarlyExit || signal.aborted) return;
        await new Promise<void>(resolve => signal.addEventListener('abort', () => resolve(), { once: true }));
        yield* [];
      },
    },
  };
}

async function solve(context: ControlContext, request: ControlSolveRequest, signal: AbortSignal): Promise<ExportResponse> {
  const { Ref, Session, Entitlements, Exporters, Frontend, Definition, ExporterDeprecated, ExporterAttrsDeprecated } = request;
  if (Ref === '') throw invalidArgument('a build needs a Ref');
  if (Definition !== null && Definition.def.length > 0)
    throw notImplemented(
      'graphs (LLB definitions) are not built by this daemon: it builds Dockerfiles, through the frontend dockerfile.v0',
    );
  const exporters =
    Exporters.length === 0 && ExporterDeprecated !== '' ? [{ Type: ExporterDeprecated, Attrs: ExporterAttrsDeprecated }] : Exporters;
  const cache = { imports: request.Cache?.Imports ?? [], exports: request.Cache?.Exports ?? [] };
  const sourceDateEpoch = exporters.map(({ Attrs }) => Attrs['source-date-epoch']).find(epoch => epoch !== undefined && epoch !== '');
  const job = new Job({ ref: Ref, sessionId: Session, entitlements: Entitlements, sourceDateEpoch }, context.results, signal);
  context.jobs.begin(job);
  try {
    return await runToEnd(context, job, {
      frontend: Frontend,
      options: request.FrontendAttrs,
      inputs: request.FrontendInputs,
      exporters,
      cache,
    });
  } finally {
    context.jobs.end(job);
  }
}

export interface Plan {
  /** Empty: the client runs the plan itself. */
  readonly frontend: string;
  readonly options: Attributes;
  readonly inputs: Inputs;
  readonly exporters: readonly TypeAndAttributes[];
  readonly cache: CacheOptions;
}

export interface CacheOptions {
  readonly imports: readonly TypeAndAttributes[];
  readonly exports: readonly TypeAndAttributes[];
}

/** Builds, exports, and lets go of everything that the build held. */
export async function runToEnd(
  context: FrontendContext,
  job: Job,
  { frontend, options, inputs, exporters, cache }: Plan,
): Promise<ExportResponse> {
  await using _job = job;
  // Without a frontend the client runs the plan itself, and says what has come of it.
  const result =
    frontend === ''
      ? await job.returned()
      : await runFrontend(context, job, { options: attributesFor(frontend, options), inputs, imports: cache.imports });
  return result === null ? {} : await exportResult({ context, job, result, cacheExports: cache.exports }, exporters);
}

/** The attributes for building a Dockerfile. Rejects with NotImplemented for a frontend that does something else. */
export function attributesFor(frontend: string, attributes: ControlSolveRequest['FrontendAttrs']): ControlSolveRequest['FrontendAttrs'] {
  const isDockerfile = /^(?:docker\.io\/)?docker\/dockerfile(?:-upstream)?(?:[:@]|$)/.test(attributes.source ?? '');
  if (frontend === 'dockerfile.v0' || (frontend === 'gateway.v0' && isDockerfile)) return attributes;
  const what = frontend === 'gateway.v0' ? `${frontend} ${attributes.source ?? ''}` : frontend;
  throw notImplemented(`the frontend ${what} is not run by this daemon: it builds Dockerfiles, through the frontend dockerfile.v0`);
}

const versionOf = ({ version }: ControlContext): object => ({
  package: 'berth',
  version: `v${version}`,
  revision: '',
  dockerfileVersion: '1.20.0',
});

export function workerRecord(context: ControlContext): object {
  const { os, architecture, variant } = hostPlatform();
  return {
    ID: context.workerId,
    Labels: {
      'org.mobyproject.buildkit.worker.executor': 'oci',
      'org.mobyproject.buildkit.worker.network': 'bridge',
      // Clients take this as: archives, registries, several platforms and caches can be written.
      'org.mobyproject.buildkit.worker.snapshotter': 'overlayfs',
    },
    platforms: [{ OS: os, Architecture: architecture, ...(variant !== undefined && { Variant: variant }) }],
    BuildkitVersion: versionOf(context),
  };
}

function toUsageRecord(entry: CacheEntry): UsageRecord {
  return {
    ID: entry.id,
    Mutable: isMutable(entry),
    InUse: entry.inUse,
    Size: entry.sizeBytes,
    CreatedAt: toTimestamp(Date.parse(entry.createdAt)),
    LastUsedAt: toTimestamp(Date.parse(entry.lastUsedAt)),
    UsageCount: entry.usageCount,
    Description: entry.description,
    RecordType: entry.type,
    Shared: entry.shared,
    Parents: entry.parents,
  };
}

const fieldsOf = (entry: CacheEntry): Readonly<Record<string, string>> => ({
  id: entry.id,
  description: entry.description,
  type: entry.type,
  inuse: String(entry.inUse),
  mutable: String(isMutable(entry)),
  immutable: String(!isMutable(entry)),
  shared: String(entry.shared),
  private: String(!entry.shared),
});

/**
 * Reads filters as containerd writes them: conditions with commas between them all hold, and one of several filters has to. `key==value`, `key!=value`,
 * `key~=regex`, or a key alone. Rejects with InvalidArgument.
 */
function matcher(filters: readonly string[]): (entry: CacheEntry) => boolean {
  const alternatives = filters.filter(filter => filter !== '').map(filter => filter.split(',').map(condition));
  return entry => alternatives.length === 0 || alternatives.some(all => all.every(holds => holds(fieldsOf(entry))));
}

function condition(text: string): (fields: Readonly<Record<string, string>>) => boolean {
  const [, key = '', operator, written = ''] = /^([a-zA-Z.]+)(?:(==|!=|~=)(.*))?$/.exec(text.trim()) ?? [];
  const value = written.replace(/^"(.*)"$/, '$1');
  if (key === '') throw invalidArgument(`invalid filter ${JSON.stringify(text)}: expected key==value, key!=value or key~=value`);
  const field = (fields: Readonly<Record<string, string>>): string => fields[key.toLowerCase()] ?? '';
  if (operator === '==') return fields => field(fields) === value;
  if (operator === '!=') return fields => field(fields) !== value;
  if (operator === '~=') {
    const pattern = new RegExp(value);
    return fields => pattern.test(field(fields));
  }
  return fields => !['', 'false'].includes(field(fields));
}

function pruneOptions({ all, filter, keepDuration, reservedSpace, maxUsedSpace, minFreeSpace }: PruneRequest) {
  const matches = matcher(filter);
  return {
    all,
    room: roomOf({ reservedBytes: reservedSpace, maxUsedBytes: maxUsedSpace, minFreeBytes: minFreeSpace }),
    filters: { ...(keepDuration > 0 && { unusedForMs: keepDuration / 1e6 }), ...(filter.length > 0 && { matches }) },
  };
}
