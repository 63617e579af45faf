import type { IdMap } from '#core/id-map.ts';
import type { LogConfig } from '#core/logs.ts';
import type { RuntimeBinary } from '#core/runtime.ts';
import type { Ulimit } from './model.ts';

/** What the operator decides for all containers. Read at each use, so a reload takes effect at the next create or start. */
export interface ContainerOptions {
  /** One directory per container below it: hosts, hostname, resolv.conf, logs. */
  readonly dataDir: string;
  readonly runtimes: ReadonlyMap<string, RuntimeBinary>;
  readonly defaultRuntime: string;
  /** Where the cgroups of containers go when they do not say: `/berth`, or `berth.slice`-like for systemd. */
  readonly cgroupParent: string;
  /** Whether containers get an init process when they do not say. */
  readonly init: boolean;
  /** The init program on the host; undefined: there is none. */
  readonly initPath: string | undefined;
  readonly defaultUlimits: readonly Ulimit[];
  readonly defaultLog: LogConfig;
  readonly defaultShmSizeBytes: number;
  /** What a container may write that names no limit; undefined: any amount. */
  readonly defaultStorageSizeBytes: number | undefined;
  readonly defaultIpcMode: 'private' | 'shareable';
  readonly defaultCgroupnsMode: 'private' | 'host';
  readonly defaultStopTimeoutSeconds: number;
  /** What containers get that do not say `no-new-privileges`. */
  readonly noNewPrivileges: boolean;
  /** How the ids of containers are mapped that do not want those of the host; undefined: there are no user namespaces. */
  readonly idMap: IdMap | undefined;
  /** Like `SecurityOptions.seccomp`: `builtin`, `unconfined`, or the text of a profile. */
  readonly seccompProfile: string;
}

export const defaultContainerOptions = {
  init: false,
  defaultUlimits: [],
  defaultLog: { type: 'json-file', config: {} },
  defaultShmSizeBytes: 64 * 1024 * 1024,
  defaultStorageSizeBytes: undefined,
  defaultIpcMode: 'private',
  defaultCgroupnsMode: 'private',
  defaultStopTimeoutSeconds: 10,
  noNewPrivileges: false,
  idMap: undefined,
  seccompProfile: 'builtin',
} as const satisfies Partial<ContainerOptions>;
