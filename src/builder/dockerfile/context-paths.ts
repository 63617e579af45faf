import type { ImageConfigFile } from '#oci/image-config.ts';
import type { Platform } from '#oci/platform.ts';
import { dispatch, type DispatchContext } from './dispatch.ts';
import { isHttpSource, parseGitReference } from './git-reference.ts';
import type { Operation, StageState } from './operations.ts';
import { parseTrigger } from './parse.ts';
import { beginStage, continueStage, emptyImage } from './stage-state.ts';
import { type BuildPlan, neededStages } from './stages.ts';

/** Asks for the configuration of a base image; undefined when it is not at hand. */
export type FindImage = (name: string, platform: Platform) => Promise<ImageConfigFile | undefined>;

/**
 * The paths of the context that a build can read: what `COPY`, `ADD` and mounts of the stages that the target needs name. Undefined when that
 * cannot be known before the build: the name has a variable of a base image that is not at hand, or such an image may have triggers.
 */
export async function pathsOfBuild(
  plan: BuildPlan,
  context: DispatchContext,
  { targetPlatform, findImage }: { targetPlatform: Platform; findImage: FindImage },
): Promise<ReadonlySet<string> | undefined> {
  const needed = neededStages(plan);
  const states = new Map<number, StageState>();
  const paths = new Set<string>();
  for (const planned of plan.stages) {
    const { stage, base } = planned;
    if (!needed.has(stage.index) || planned.isReplaced) continue;
    const platform = planned.platform ?? targetPlatform;
    const parent = base.kind === 'stage' ? states.get(base.index) : undefined;
    const image = base.kind === 'scratch' ? emptyImage(platform) : base.kind === 'image' ? await findImage(base.name, platform) : undefined;
    if (parent === undefined && image === undefined) return undefined;
    let state = parent === undefined ? beginStage(image ?? emptyImage(platform), platform) : continueStage(parent);
    const triggers = (parent === undefined ? image?.config?.OnBuild : parent.image.config?.OnBuild) ?? [];
    const inherited = triggers.map(trigger => parseTrigger(trigger, { source: context.source, range: stage.range }));
    for (const instruction of [...inherited, ...stage.instructions]) {
      const dispatched = dispatch(state, instruction, context);
      ({ state } = dispatched);
      for (const path of dispatched.operation === undefined ? [] : contextPaths(dispatched.operation)) paths.add(path);
    }
    states.set(stage.index, state);
  }
  return paths;
}

/** Where an operation reads the context. */
function contextPaths(operation: Operation): string[] {
  switch (operation.kind) {
    case 'workdir':
      return [];
    case 'run':
      return operation.mounts.flatMap(mount => (mount.type === 'bind' && mount.from === undefined ? [mount.source] : []));
    case 'add':
      return operation.sources.filter(source => !isHttpSource(source) && parseGitReference(source) === undefined);
    case 'copy':
      // Below the point that `--parents` counts from, the path goes on as ever.
      return operation.from === undefined ? operation.sources.map(source => source.replace('/./', '/')) : [];
  }
}
