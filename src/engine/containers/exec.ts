import type { ExecConfig } from './service.ts';
import type { StreamHub } from './stream-hub.ts';

/** Another process in a running container, as this daemon knows it. */
export interface Exec {
  readonly id: string;
  readonly containerId: string;
  readonly config: ExecConfig;
  /** Whether it can be asked about for a while after its end. */
  readonly isKept: boolean;
  state:
    | { readonly status: 'created' }
    | { readonly status: 'starting' }
    | { readonly status: 'running'; readonly pid: number }
    /** `endedMs`: on the clock that never goes back. */
    | { readonly status: 'ended'; readonly exitCode: number; readonly pid: number; readonly endedMs: number };
  hub: StreamHub | undefined;
}
