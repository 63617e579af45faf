import type { SystemInfo } from '#api/types/system.ts';
import { isBefore } from '#api/versions.ts';
import type { ApiVersion } from '#api/versions.ts';

/** What is different for clients of an older API: a change to a value on its way in or out. */
export interface Shim<T> {
  readonly before: ApiVersion;
  readonly why: string;
  readonly apply: (value: T) => void;
}

/** Applies every row that is meant for this version, and returns the value. */
export function shim<T>(rows: readonly Shim<T>[], version: ApiVersion, value: T): T {
  for (const row of rows) if (isBefore(version, row.before)) row.apply(value);
  return value;
}

export const infoShims: readonly Shim<SystemInfo>[] = [
  {
    before: '1.50',
    why: 'commits had an expected value, and the bridge netfilter switches were told',
    apply: info => {
      for (const commit of [info.ContainerdCommit, info.RuncCommit, info.InitCommit]) commit.Expected = commit.ID;
      info.BridgeNfIptables = false;
      info.BridgeNfIp6tables = false;
    },
  },
  { before: '1.49', why: 'FirewallBackend arrived in 1.49', apply: info => void delete info.FirewallBackend },
  { before: '1.42', why: 'kernel memory limits were told until 1.42', apply: info => void (info.KernelMemoryTCP = false) },
  {
    before: '1.25',
    why: 'security options were plain names',
    apply: info => {
      info.SecurityOptions = info.SecurityOptions.map(option => /^name=([^,]*)/.exec(option)?.[1] ?? option);
    },
  },
];
