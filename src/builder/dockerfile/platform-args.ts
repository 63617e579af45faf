import { formatPlatform, type Platform } from '#oci/platform.ts';

/** The variables that every Dockerfile may use in `FROM` without declaring them, and in a stage after `ARG NAME`. */
export function platformArgs({
  buildPlatform,
  targetPlatform,
  targetStage,
}: {
  readonly buildPlatform: Platform;
  readonly targetPlatform: Platform;
  /** The name of the stage that is built; empty when it has none. */
  readonly targetStage: string;
}): [name: string, value: string][] {
  return [
    ['BUILDPLATFORM', formatPlatform(buildPlatform)],
    ['BUILDOS', buildPlatform.os],
    ['BUILDOSVERSION', ''],
    ['BUILDARCH', buildPlatform.architecture],
    ['BUILDVARIANT', buildPlatform.variant ?? ''],
    ['TARGETPLATFORM', formatPlatform(targetPlatform)],
    ['TARGETOS', targetPlatform.os],
    ['TARGETOSVERSION', ''],
    ['TARGETARCH', targetPlatform.architecture],
    ['TARGETVARIANT', targetPlatform.variant ?? ''],
    ['TARGETSTAGE', targetStage === '' ? 'default' : targetStage],
  ];
}

const proxyNames = ['HTTP_PROXY', 'HTTPS_PROXY', 'FTP_PROXY', 'NO_PROXY', 'ALL_PROXY'];

/**
 * The proxy settings among the build arguments, as `KEY=value` in both cases. A command gets them without `ARG`; they are no part of the image,
 * its history or what a cached step is known by.
 */
export function proxyEnvironment(buildArgs: ReadonlyMap<string, string>): string[] {
  const found = new Map<string, string>();
  for (const name of [...buildArgs.keys()].sort()) {
    if (proxyNames.includes(name.toUpperCase())) found.set(name.toUpperCase(), buildArgs.get(name) ?? '');
  }
  return [...found].flatMap(([name, value]) => [`${name}=${value}`, `${name.toLowerCase()}=${value}`]);
}
