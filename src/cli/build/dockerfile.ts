import type { Client } from '#client/client.ts';
import { messageOf } from '#base/errors.ts';
import type { ReadDockerfile } from '#builder/dockerfile/check-instructions.ts';
import type { FindImage } from '#builder/dockerfile/context-paths.ts';
import type { ParsedDockerfile } from '#builder/dockerfile/instructions.ts';
import { lintFile } from '#builder/dockerfile/lint.ts';
import { Linter, parseCheckOptions } from '#builder/dockerfile/linter.ts';
import { parseDockerfile } from '#builder/dockerfile/parse.ts';
import { DockerfileError } from '#builder/dockerfile/source.ts';
import { planStages } from '#builder/dockerfile/stages.ts';
import type { IgnoreMatcher } from '#builder/dockerfile/ignore.ts';
import type { ImageConfigFile } from '#oci/image-config.ts';
import { hostPlatform, parsePlatform, type Platform } from '#oci/platform.ts';

export type { ReadDockerfile };

export interface ReadOptions {
  readonly buildArgs: Readonly<Record<string, string | null>>;
  readonly target: string;
  readonly platform: string;
  readonly ignore: IgnoreMatcher;
  /** Names that stand for something else than an image. */
  readonly namedContexts: ReadonlySet<string>;
}

/** Reads a Dockerfile here, before anything is sent: what is wrong with it shows at once. Throws DockerfileError. */
export function readDockerfile(file: { readonly name: string; readonly text: string }, options: ReadOptions): ReadDockerfile {
  const parsed = parseDockerfile(file.text, { name: file.name });
  const host = hostPlatform();
  const targetPlatform = options.platform === '' ? host : parsePlatform(options.platform, host);
  const buildArgs = new Map(Object.entries(options.buildArgs).flatMap(([name, value]) => (value === null ? [] : [[name, value] as const])));
  const lint = new Linter(checkOptions(parsed, buildArgs.get('BUILDKIT_DOCKERFILE_CHECK')));
  lintFile(parsed, lint);
  const plan = planStages(parsed, {
    buildArgs,
    buildPlatform: host,
    targetPlatform,
    ...(options.target !== '' && { target: options.target }),
    namedContexts: options.namedContexts,
    lint,
  });
  const context = {
    source: parsed.source,
    escape: parsed.directives.escape,
    buildArgs,
    globals: plan.globals,
    lint,
    ...(!options.ignore.isEmpty && { ignore: options.ignore }),
  };
  return { parsed, plan, context, lint, targetPlatform };
}

function checkOptions(parsed: ParsedDockerfile, given: string | undefined): ReturnType<typeof parseCheckOptions> {
  try {
    return parseCheckOptions(given ?? parsed.directives.check ?? '');
  } catch (err) {
    throw new DockerfileError(`failed to parse check options: ${messageOf(err)}`, { source: parsed.source });
  }
}

/** A file for another frontend than Docker's is not ours to judge. */
export const isForeign = ({ directives }: ParsedDockerfile): boolean =>
  directives.syntax !== undefined &&
  !/^(?:docker\.io\/)?docker\/dockerfile(?:-upstream)?(?:[:@]|$)|^dockerfile\.v0$/.test(directives.syntax);

/** Looks base images up at the daemon, each once. */
export function imageFinder(client: Client, { signal }: { signal: AbortSignal }): FindImage {
  const found = new Map<string, Promise<ImageConfigFile | undefined>>();
  return (name, platform) => {
    const key = `${name} ${platform.os}/${platform.architecture}/${platform.variant ?? ''}`;
    const known = found.get(key) ?? lookUp(client, name, platform, signal);
    found.set(key, known);
    return known;
  };
}

async function lookUp(client: Client, name: string, platform: Platform, signal: AbortSignal): Promise<ImageConfigFile | undefined> {
  try {
    const { Architecture, Os, Variant, Config } = await client.images.inspect(name, { signal });
    if (Os !== platform.os || Architecture !== platform.architecture) return undefined;
    const config = (Config ?? {}) as NonNullable<ImageConfigFile['config']>;
    return {
      os: Os,
      architecture: Architecture,
      ...(Variant !== undefined && Variant !== '' && { variant: Variant }),
      rootfs: { type: 'layers', diff_ids: [] },
      config,
    };
  } catch {
    // Not there, or not to be had: the build finds out.
    return undefined;
  }
}
