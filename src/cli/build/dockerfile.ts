import type { Client } from '#client/client.ts';
import { messageOf } from '#base/errors.ts';
import { dispatch, type DispatchContext } from '#builder/dockerfile/dispatch.ts';
import type { ParsedDockerfile } from '#builder/dockerfile/instructions.ts';
import { lintFile } from '#builder/dockerfile/lint.ts';
import { Linter, parseCheckOptions } from '#builder/dockerfile/linter.ts';
import { parseDockerfile, parseTrigger } from '#builder/dockerfile/parse.ts';
import { DockerfileError } from '#builder/dockerfile/source.ts';
import { beginStage, continueStage, emptyImage } from '#builder/dockerfile/stage-state.ts';
import { type BuildPlan, planStages } from '#builder/dockerfile/stages.ts';
import type { StageState } from '#builder/dockerfile/operations.ts';
import type { IgnoreMatcher } from '#builder/dockerfile/ignore.ts';
import type { ImageConfigFile } from '#oci/image-config.ts';
import { hostPlatform, parsePlatform, type Platform } from '#oci/platform.ts';
import type { FindImage } from './needed-paths.ts';

export interface ReadDockerfile {
  readonly parsed: ParsedDockerfile;
  readonly plan: BuildPlan;
  readonly context: DispatchContext;
  readonly lint: Linter;
  readonly targetPlatform: Platform;
}

export interface ReadOptions {
  readonly buildArgs: Readonly<Record<string, string | null>>;
  readonly target: string;
  readonly platform: string;
  readonly ignore: IgnoreMatcher;
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

/**
 * Makes the checks that need every instruction looked at. Where a base image is not at hand, nobody knows what its environment has: then
 * variables are not checked.
 */
export async function checkInstructions(
  { parsed, plan, context, lint, targetPlatform }: ReadDockerfile,
  findImage: FindImage,
): Promise<void> {
  const states = new Map<number, StageState>();
  const known = new Set<number>();
  for (const planned of plan.stages) {
    const { stage, base } = planned;
    if (planned.isReplaced) continue;
    const platform = planned.platform ?? targetPlatform;
    const parent = base.kind === 'stage' ? states.get(base.index) : undefined;
    const image = base.kind === 'image' ? await findImage(base.name, platform) : undefined;
    const isKnown = base.kind === 'scratch' || image !== undefined || (base.kind === 'stage' && known.has(base.index));
    if (isKnown) known.add(stage.index);
    let state = parent === undefined ? beginStage(image ?? emptyImage(platform), platform) : continueStage(parent);
    const triggers = (parent === undefined ? image?.config?.OnBuild : parent.image.config?.OnBuild) ?? [];
    const inherited = triggers.map(trigger => parseTrigger(trigger, { source: parsed.source, range: stage.range }));
    const stageLint = isKnown ? lint : lint.without('UndefinedVar');
    for (const instruction of [...inherited, ...stage.instructions])
      ({ state } = dispatch(state, instruction, { ...context, lint: stageLint }));
    states.set(stage.index, state);
  }
}

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
