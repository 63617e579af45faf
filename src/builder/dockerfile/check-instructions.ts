import type { Platform } from '#oci/platform.ts';
import type { FindImage } from './context-paths.ts';
import { dispatch, type DispatchContext } from './dispatch.ts';
import type { ParsedDockerfile } from './instructions.ts';
import type { Linter } from './linter.ts';
import type { StageState } from './operations.ts';
import { parseTrigger } from './parse.ts';
import { beginStage, continueStage, emptyImage } from './stage-state.ts';
import type { BuildPlan } from './stages.ts';

export type { FindImage };

/** A Dockerfile that was read, with what is needed to look at its instructions. */
export interface ReadDockerfile {
  readonly parsed: ParsedDockerfile;
  readonly plan: BuildPlan;
  readonly context: DispatchContext;
  readonly lint: Linter;
  readonly targetPlatform: Platform;
}

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
