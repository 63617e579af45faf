import { notImplemented } from '#base/errors.ts';
import type { GatewaySolveRequest, ReturnRequest, VertexWarning } from '#api/buildkit/messages.ts';
import { buildCapabilities, gatewayCapabilities } from './capabilities.ts';
import { attributesFor, type ControlContext, workerRecord } from './control.ts';
import { runFrontend } from './frontend.ts';
import type { CallContext, ServiceHandlers } from './grpc.ts';
import type { Job } from './job.ts';
import { readDirectory, readFile, statFile } from './result-files.ts';
import { ForwardedError } from './status.ts';

interface FileRequest {
  readonly Ref: string;
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
      Solve: async (request: GatewaySolveRequest, call) => {
        const job = await jobOf(call);
        return { result: await job.track(solve(context, job, request)) };
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
      Inputs: () => ({ Definitions: {} }),
    },
  };
}

async function solve(
  context: ControlContext,
  job: Job,
  { Definition, Frontend, FrontendOpt, FrontendInputs, CacheImports }: GatewaySolveRequest,
): Promise<object> {
  if (Frontend === '') {
    if (Definition === null || Definition.def.length === 0) return { metadata: {} };
    throw notImplemented(
      'graphs (LLB definitions) are not built by this daemon: it builds Dockerfiles, through the frontend dockerfile.v0',
    );
  }
  return await runFrontend(context, job, {
    options: attributesFor(Frontend, FrontendOpt),
    inputs: FrontendInputs,
    imports: CacheImports,
  });
}
