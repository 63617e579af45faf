import { isBefore } from '#api/versions.ts';
import { parseVersion } from '#client/connection.ts';
import type { Cli } from './cli.ts';
import { ExitError } from './errors.ts';

/** What a command or a flag needs of the daemon. */
export interface Requirements {
  /** The API version that it came with. */
  readonly since?: string;
  /** The operating system of the daemon. */
  readonly os?: 'windows';
  /** Experimental features are served. */
  readonly experimental?: true;
}

/** Something that has requirements, by the name that messages call it. */
export type Needs = readonly [what: string, requires: Requirements];

/** What a daemon says of itself. */
interface Served {
  readonly apiVersion: string;
  readonly os: string;
  readonly experimental: boolean;
}

/** Refuses a command, for the first reason of those that hold for it or its groups, or all flags that the daemon does not know. */
export async function checkRequirements(cli: Cli, commands: readonly Needs[], flags: readonly Needs[]): Promise<void> {
  const { connection } = await cli.client();
  const { osType, experimental } = await connection.ping();
  const served = { apiVersion: await connection.apiVersion(), os: osType, experimental };
  const [unserved] = commands.flatMap(needs => unmet(needs, served) ?? []);
  if (unserved !== undefined) throw new ExitError(1, unserved);
  const unknown = flags.flatMap(needs => unmet(needs, served) ?? []);
  if (unknown.length > 0) throw new ExitError(1, unknown.join('\n'));
}

function unmet([what, { since, os, experimental }]: Needs, served: Served): string | undefined {
  if (since !== undefined && isBefore(parseVersion(served.apiVersion), parseVersion(since))) {
    return `${what} requires API version ${since}, but the Docker daemon API version is ${served.apiVersion}`;
  }
  if (os !== undefined && os !== served.os) {
    return `${what} is only supported on a Docker daemon running on ${os}, but the Docker daemon is running on ${served.os}`;
  }
  return experimental === true && !served.experimental
    ? `${what} is only supported on a Docker daemon with experimental features enabled`
    : undefined;
}
