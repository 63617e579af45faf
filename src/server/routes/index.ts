import type { Services } from '../ports.ts';
import type { Route } from '../router.ts';
import { buildRoutes } from './build.ts';
import { buildKitRoutes, lazyBuildKit } from './buildkit.ts';
import { checkpointRoutes } from './checkpoints.ts';
import { containerFileRoutes } from './container-files.ts';
import { containerStreamRoutes } from './container-streams.ts';
import { containerRoutes } from './containers.ts';
import { execRoutes } from './exec.ts';
import { imageRoutes } from './images.ts';
import { networkRoutes } from './networks.ts';
import { storeRoutes } from './store.ts';
import { systemRoutes } from './system.ts';
import { unservedRoutes } from './unserved.ts';
import { volumeRoutes } from './volumes.ts';

/** Every route; where two patterns match, the first one wins. */
export function allRoutes(services: Services): Route[] {
  const buildKit = lazyBuildKit(services);
  return [
    ...systemRoutes(services),
    ...storeRoutes(services),
    ...unservedRoutes(),
    ...buildRoutes(services, buildKit),
    ...buildKitRoutes(buildKit),
    ...containerFileRoutes(services),
    ...containerStreamRoutes(services),
    ...checkpointRoutes(services),
    ...containerRoutes(services),
    ...execRoutes(services),
    ...imageRoutes(services),
    ...networkRoutes(services),
    ...volumeRoutes(services),
  ];
}
