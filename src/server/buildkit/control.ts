import { invalidArgument } from '#base/errors.ts';
import type { HistoryRequest, UpdateHistoryRequest } from '#api/buildkit/history-messages.ts';
import type { ControlSolveRequest, PruneRequest } from '#api/buildkit/messages.ts';
import { readFile } from 'node:fs/promises';
import { hostPlatform } from '#oci/platform.ts';
import { entryFilter, pruneOptions, toUsageRecord } from './cache-records.ts';
import { ClientSession } from './client-session.ts';
import type { ExportResponse } from './export.ts';
import type { ControlContext } from './control-context.ts';
import type { CallContext, ServiceHandlers } from './grpc.ts';
import { decodeLogs, listenHistory, updateHistory } from './history.ts';
import { Job } from './job.ts';
import { runRecorded } from './recorded-build.ts';

/** moby.buildkit.v1.Control: builds from beginning to end, and what the daemon keeps of them. */
export function controlService(context: ControlContext): ServiceHandlers {
  const { services, sessions } = context;
  const { history } = services.builds;
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
        record: (await services.builds.usage()).filter(entryFilter(filter)).map(toUsageRecord),
      }),
      UpdateBuildHistory: (request: UpdateHistoryRequest) => updateHistory(history, request),
    },
    streams: {
      async *Status({ Ref }: { readonly Ref: string }, call) {
        sayTime(call);
        yield* statusOf(context, Ref, call.signal);
      },
      async *Prune(request: PruneRequest) {
        const before = await services.builds.usage();
        const { ids } = await services.builds.prune(pruneOptions(request));
        for (const entry of before) if (ids.includes(entry.id)) yield toUsageRecord(entry);
      },
      async *ListenBuildHistory(request: HistoryRequest, call) {
        sayTime(call);
        yield* listenHistory(history, request, call.signal);
      },
    },
  };
}

/** Clients compare times of builds with the time here. */
const sayTime = ({ sendHeader }: CallContext): void => sendHeader('buildkit-current-timestamp', new Date().toISOString());

/** What a build says, or said when it has ended. */
async function* statusOf({ jobs, services }: ControlContext, ref: string, signal: AbortSignal): AsyncGenerator<object, void, undefined> {
  const { history } = services.builds;
  const logs = jobs.find(ref) === undefined ? history.find(ref)?.documents.logs : undefined;
  if (logs === undefined) yield* (await jobs.get(ref, signal)).progress.updates(signal);
  else yield* decodeLogs(await readFile(history.document(logs.digest).path));
}

async function solve(context: ControlContext, request: ControlSolveRequest, signal: AbortSignal): Promise<ExportResponse> {
  const { Ref, Session, Entitlements, Exporters, ExporterDeprecated, ExporterAttrsDeprecated } = request;
  if (Ref === '') throw invalidArgument('a build needs a Ref');
  const exporters =
    Exporters.length === 0 && ExporterDeprecated !== '' ? [{ Type: ExporterDeprecated, Attrs: ExporterAttrsDeprecated }] : Exporters;
  const cache = { imports: request.Cache?.Imports ?? [], exports: request.Cache?.Exports ?? [] };
  const sourceDateEpoch = exporters.map(({ Attrs }) => Attrs['source-date-epoch']).find(epoch => epoch !== undefined && epoch !== '');
  const asked = { ref: Ref, sessionId: Session, entitlements: Entitlements, inputs: request.FrontendInputs, sourceDateEpoch };
  const job = new Job(asked, context.results, signal);
  context.jobs.begin(job);
  try {
    return await runRecorded(context, job, {
      frontend: request.Frontend,
      graph: request.Definition,
      options: request.FrontendAttrs,
      exporters,
      cache,
      isInternal: request.Internal,
    });
  } finally {
    context.jobs.end(job);
  }
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
