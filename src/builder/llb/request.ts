import type { RemoteCache } from '../cache/portable-cache.ts';
import type { BaseImage, BuildWorkspace } from '../ports.ts';
import type { BuildRequest } from '../request.ts';
import type { SolvedBuild } from '../solver/solve.ts';
import type { Graph, SourceWork } from './graph.ts';

/** A graph that is to be built. */
export interface GraphRequest extends Pick<BuildRequest, 'entitlements' | 'secrets' | 'authOf'> {
  readonly graph: Graph;
  readonly sources: GraphSources;
  readonly openCaches?: ((workspace: BuildWorkspace) => Promise<readonly RemoteCache[]>) | undefined;
}

/** Sources that only the client, or another build of it, has. */
export interface GraphSources {
  /** A directory of the client; where it is on this machine. */
  directory(source: SourceWork, signal: AbortSignal): Promise<string>;
  /** An image in an OCI layout of the client. */
  layout(
    source: SourceWork,
    workspace: BuildWorkspace,
    platform: NonNullable<BuildRequest['platform']>,
    signal: AbortSignal,
  ): Promise<BaseImage>;
  /** What another build has made; undefined: the source is not one of these. */
  result(source: SourceWork): SolvedBuild | undefined;
}

/** Follows the nodes of a graph, each by its digest. */
export interface GraphObserver {
  started(digest: string): void;
  output(digest: string, stream: 'stdout' | 'stderr', chunk: Uint8Array): void;
  /** How a source comes here. */
  progress(
    digest: string,
    progress: { readonly id?: string; readonly status?: string; readonly current?: number; readonly total?: number },
  ): void;
  finished(digest: string, isCached: boolean): void;
  failed(digest: string, err: unknown): void;
}
