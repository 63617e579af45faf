import type { DaemonOptions } from './daemon-options.ts';

/** What SIGHUP changes in a running daemon; everything else needs a new start. */
export const reloadableKeys = [
  'debug',
  'labels',
  'defaultRuntime',
  'runtimes',
  'registryMirrors',
  'insecureRegistries',
  'shutdownTimeoutSeconds',
] as const satisfies readonly (keyof DaemonOptions)[];

/** The current options with the reloadable ones taken from `next`. */
export function reloadOptions(current: DaemonOptions, next: DaemonOptions): DaemonOptions {
  return { ...current, ...Object.fromEntries(reloadableKeys.map(key => [key, next[key]])) };
}
