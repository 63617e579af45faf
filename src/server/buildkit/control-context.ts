import type { FrontendContext } from './frontend-context.ts';
import type { Jobs, Results } from './job.ts';

/** What all of BuildKit's services stand on. */
export interface ControlContext extends FrontendContext {
  readonly jobs: Jobs;
  readonly results: Results;
  /** Identifies this daemon. */
  readonly workerId: string;
  readonly version: string;
}
