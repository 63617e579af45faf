import type { Services } from '../ports.ts';
import type { Sessions } from './sessions.ts';

/** What building from a Dockerfile needs, and getting the result out. */
export interface FrontendContext {
  readonly services: Pick<Services, 'builds' | 'images'>;
  readonly sessions: Sessions;
}
