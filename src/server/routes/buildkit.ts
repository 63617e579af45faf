import { createHash } from 'node:crypto';
import { invalidArgument } from '#base/errors.ts';
import type { ApiRequest } from '../api-request.ts';
import type { BuildKit } from '../buildkit/buildkit.ts';
import type { Services } from '../ports.ts';
import type { UpgradeReply } from '../reply.ts';
import { route } from '../router.ts';
import type { Route } from '../router.ts';

/** Connections on which BuildKit's protocol is spoken. */
export function buildKitRoutes(buildKit: () => Promise<BuildKit>): Route[] {
  return [
    route('POST /grpc', request => upgrade(request, async connection => (await buildKit()).serve(connection))),
    route('POST /session', request => {
      const id = request.header('x-docker-expose-session-uuid') ?? '';
      if (id === '') throw invalidArgument('a session needs an id: the header X-Docker-Expose-Session-Uuid is missing');
      const head = {
        id,
        sharedKey: request.header('x-docker-expose-session-sharedkey') ?? '',
        methods: (request.header('x-docker-expose-session-grpc-method') ?? '').split(',').map(method => method.trim()),
      };
      return upgrade(request, async connection => (await buildKit()).attach(connection, head));
    }),
  ];
}

/** BuildKit's services. Their libraries are loaded when the first client comes: most daemons never need them. */
export function lazyBuildKit(services: Services): () => Promise<BuildKit> {
  let loaded: Promise<BuildKit> | undefined;
  return () => (loaded ??= load(services));
}

async function load(services: Services): Promise<BuildKit> {
  const [{ createBuildKit }, { id, product }] = await Promise.all([import('../buildkit/buildkit.ts'), services.system.info()]);
  return createBuildKit(services, { workerId: createHash('sha256').update(id).digest('hex').slice(0, 25), version: product.version });
}

function upgrade(request: ApiRequest, run: UpgradeReply['run']): UpgradeReply {
  if (request.header('upgrade')?.toLowerCase() !== 'h2c')
    throw invalidArgument('this route speaks HTTP/2 only: ask for it with Upgrade: h2c');
  return { kind: 'upgrade', status: 101, protocol: 'h2c', run };
}
