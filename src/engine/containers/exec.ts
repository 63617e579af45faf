import type { ExecConfig } from './service.ts';
import type { StreamHub } from './stream-hub.ts';

/** Another process in a running container, as this daemon knows it. */
export interface Exec {
  readonly id: string;
  readonly containerId: string;
  readonly config: ExecConfig;
  state:
    | { readonly status: 'created' }
    | { readonly status: 'starting' }
    | { readonly status: 'running'; readonly pid: number }
    | { readonly status: 'ended'; readonly exitCode: number; readonly pid: number };
  hub: StreamHub | undefined;
}
