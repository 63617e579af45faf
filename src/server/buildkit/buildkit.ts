import type { Duplex } from 'node:stream';
import type { JsonMessage } from '#api/types/image.ts';
import type { Services } from '../ports.ts';
import { ClientSession } from './client-session.ts';
import { contentService } from './content-service.ts';
import { controlService } from './control.ts';
import type { ControlContext } from './control-context.ts';
import { buildForEngine, type EngineBuild } from './engine-build.ts';
import { gatewayService } from './gateway.ts';
import { createGrpcServer } from './grpc.ts';
import { Jobs } from './job.ts';
import { Sessions } from './sessions.ts';

export interface SessionHead {
  readonly id: string;
  readonly sharedKey: string;
  /** What the client serves: `/package.Service/Method`. */
  readonly methods: readonly string[];
}

/** BuildKit's services, for connections that clients have asked to be taken over. */
export interface BuildKit {
  /** Serves gRPC until the connection is closed. */
  serve(connection: Duplex): Promise<void>;
  /** Asks a client over its own connection, until it is closed. */
  attach(connection: Duplex, head: SessionHead): Promise<void>;
  /** Builds for `POST /build?version=2`. */
  build(build: EngineBuild, put: (message: JsonMessage) => void, signal: AbortSignal): Promise<void>;
}

export function createBuildKit(
  services: Pick<Services, 'builds' | 'images'>,
  { workerId, version }: { workerId: string; version: string },
): BuildKit {
  const sessions = new Sessions();
  const context: ControlContext = { services, sessions, jobs: new Jobs(), results: new Map(), workerId, version };
  const accept = createGrpcServer({
    'moby.buildkit.v1.Control': controlService(context),
    'moby.buildkit.v1.frontend.LLBBridge': gatewayService(context),
    // Of records of builds: what clients have themselves is on the other side.
    'containerd.services.content.v1.Content': contentService(services.builds.history),
    'grpc.health.v1.Health': { unary: { Check: () => ({ status: 1 }) } },
  });
  return {
    async serve(connection) {
      const closed = new Promise<void>(resolve => connection.once('close', () => resolve()));
      accept(connection);
      await closed;
    },
    build: (build, put, signal) => buildForEngine(context, build, put, signal),
    attach: async (connection, head) => await sessions.hold(new ClientSession(connection, head)),
  };
}
