import type { Services } from '../ports.ts';
import type { Route } from '../router.ts';
import { containerStreamRoutes } from './container-streams.ts';
import { containerRoutes } from './containers.ts';
import { execRoutes } from './exec.ts';
import { systemRoutes } from './system.ts';

/** Every route; where two patterns match, the first one wins. */
export const allRoutes = (services: Services): Route[] => [
  ...systemRoutes(services),
  ...containerStreamRoutes(services),
  ...containerRoutes(services),
  ...execRoutes(services),
];
