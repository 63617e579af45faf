import type { RuntimeBinary } from '#core/runtime.ts';
import type { DaemonOptions } from './daemon-options.ts';
import { defaultRuntimeName } from './programs.ts';

/** What SIGHUP changes in a running daemon; everything else needs a new start. */
export const reloadableKeys = [
  'debug',
  'diskBudget',
  'buildCacheKeeps',
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

/** What the event of a reload tells: the settings that hold from now on, lists as JSON. */
export function reloadAttributes(options: DaemonOptions, runtimes: ReadonlyMap<string, RuntimeBinary>): Record<string, string> {
  return {
    debug: String(options.debug),
    'default-cgroupns-mode': options.defaultCgroupnsMode,
    'default-ipc-mode': options.defaultIpcMode,
    'default-runtime': defaultRuntimeName(options.defaultRuntime, runtimes),
    'default-shm-size': String(options.defaultShmSizeBytes),
    'insecure-registries': JSON.stringify(options.insecureRegistries),
    labels: JSON.stringify(options.labels),
    'live-restore': 'true',
    'max-concurrent-downloads': String(options.maxConcurrentDownloads),
    'max-concurrent-uploads': String(options.maxConcurrentUploads),
    'max-download-attempts': String(options.maxDownloadAttempts),
    'registry-mirrors': JSON.stringify(options.registryMirrors),
    runtimes: [...runtimes.values()].map(({ name, path }) => `${name}:${path}`).join(' '),
    'shutdown-timeout': String(options.shutdownTimeoutSeconds),
  };
}
