import { invalidArgument } from '#base/errors.ts';
import type { GatewaySolveRequest, ReturnRequest, VertexWarning, WirePlatform } from '#api/buildkit/messages.ts';
import { buildCapabilities, gatewayCapabilities } from './capabilities.ts';
import { workerRecord } from './control.ts';
import type { ControlContext } from './control-context.ts';
import { attributesFor, runFrontend } from './frontend.ts';
import { runGraph } from './graph-build.ts';
import type { CallContext, ServiceHandlers } from './grpc.ts';
import type { Job } from './job.ts';
import { toTimestamp } from './progress.ts';
import { resolveGit, resolveHttp, resolveImage } from './resolve-source.ts';
import { readDirectory, readFile, statFile } from './result-files.ts';
import { graphOf } from './result-graph.ts';
import { ForwardedError } from './status.ts';

interface FileRequest {
  readonly Ref: string;
}

interface ConfigRequest {
  readonly Ref: string;
  readonly Platform: WirePlatform | null;
  readonly ResolveMode: string;
  readonly ResolverType: number;
  readonly SessionID: string;
  readonly StoreID: string;
}

interface SourceMetaRequest {
  readonly Source: { readonly identifier: string; readonly attrs: Readonly<Record<string, string>> } | null;
  readonly Platform: WirePlatform | null;
  readonly ResolveMode: string;
}

/** moby.buildkit.v1.frontend.LLBBridge: what a client that runs a build's plan itself asks for. Each call names the build it belongs to. */
export function gatewayService(context: ControlContext): ServiceHandlers {
  const jobOf = (call: CallContext): Promise<Job> => context.jobs.get(call.metadata('buildkit-controlapi-buildid'), call.signal);
  const enabled = (ids: readonly string[]): object[] => ids.map(ID => ({ ID, Enabled: true }));
  const rootOf = async ({ Ref }: FileRequest, call: CallContext): Promise<string> => await (await jobOf(call)).result(Ref).build.view();
  const { builds } = context.services;
  return {
    unary: {
      Ping: async (_request: object, call) => {
        await jobOf(call);
        return {
          FrontendAPICaps: enabled(gatewayCapabilities),
          LLBCaps: enabled(buildCapabilities),
          Workers: [workerRecord(context)],
        };
      },
      ResolveImageConfig: async ({ Ref, Platform, ResolveMode, ResolverType, SessionID, StoreID }: ConfigRequest, call) => {
        const layout = ResolverType === ociLayout ? { sessionId: SessionID, store: StoreID } : undefined;
        const job = await jobOf(call);
        const { digest, config } = await job.track(
          resolveImage(context, job, { name: Ref, platform: Platform, mode: ResolveMode, layout }),
        );
        return { Digest: digest, Config: config, Ref };
      },
      ResolveSourceMeta: async (request: SourceMetaRequest, call) => {
        const job = await jobOf(call);
        return await job.track(resolveSource(context, job, request));
      },
      Solve: async (request: GatewaySolveRequest, call) => {
        const job = await jobOf(call);
        return await job.track(solve(context, job, request));
      },
      // Results are there when they are known.
      Evaluate: async ({ Ref }: FileRequest, call) => {
        (await jobOf(call)).result(Ref);
        return {};
      },
      Return: async ({ result, error }: ReturnRequest, call) => {
        const job = await jobOf(call);
        if (error !== null && error.code !== 0) job.fails(new ForwardedError(error));
        else job.returns(result);
        return {};
      },
      Warn: async ({ digest, ...warning }: Omit<VertexWarning, 'vertex'> & { readonly digest: string }, call) => {
        (await jobOf(call)).progress.tell({ warnings: [{ vertex: digest, ...warning }] });
        return {};
      },
      ReadFile: async (request: FileRequest & Parameters<typeof readFile>[2], call) => ({
        Data: await readFile(builds, await rootOf(request, call), request),
      }),
      StatFile: async (request: FileRequest & { readonly Path: string }, call) => ({
        stat: statFile(builds, await rootOf(request, call), request.Path),
      }),
      ReadDir: async (request: FileRequest & { readonly DirPath: string; readonly IncludePattern: string }, call) => ({
        entries: readDirectory(builds, await rootOf(request, call), request),
      }),
      Inputs: async (_request: object, call) => ({ Definitions: (await jobOf(call)).inputs }),
    },
  };
}

const ociLayout = 1;

async function solve(
  context: ControlContext,
  job: Job,
  { Definition, Frontend, FrontendOpt, FrontendInputs, CacheImports }: GatewaySolveRequest,
): Promise<object> {
  if (Frontend === '') {
    const id = Definition === null ? '' : await runGraph(context, job, Definition, { imports: CacheImports });
    return { ref: id, result: id === '' ? { metadata: {} } : { ref: { id, def: graphOf(id) }, metadata: {} } };
  }
  const options = attributesFor(Frontend, FrontendOpt);
  return { result: await runFrontend(context, job, { options, inputs: FrontendInputs, imports: CacheImports }) };
}

async function resolveSource(context: ControlContext, job: Job, { Source, Platform, ResolveMode }: SourceMetaRequest): Promise<object> {
  if (Source === null) throw invalidArgument('a source has to be named');
  const { identifier, attrs } = Source;
  const [, scheme = '', rest = ''] = /^([a-z+-]+):\/\/(.*)$/s.exec(identifier) ?? [];
  switch (scheme) {
    case 'docker-image':
    case 'oci-layout': {
      const layout = scheme === 'docker-image' ? undefined : { sessionId: attrs['oci.session'] ?? '', store: attrs['oci.store'] ?? '' };
      const mode = attrs['image.resolvemode'] ?? ResolveMode;
      const { digest, config } = await resolveImage(context, job, { name: rest, platform: Platform, mode, layout });
      return { Source, Image: { Digest: digest, Config: config } };
    }
    case 'git': {
      const { commit, ref } = await resolveGit(context, job, identifier, attrs);
      return { Source, Git: { Checksum: commit, CommitChecksum: commit, Ref: ref } };
    }
    case 'http':
    case 'https': {
      const { checksum, filename, modifiedMs } = await resolveHttp(context, job, identifier);
      return { Source, HTTP: { Checksum: checksum, Filename: filename, LastModified: toTimestamp(modifiedMs) } };
    }
    default:
      // Of the others there is nothing to be known beforehand.
      return { Source };
  }
}
