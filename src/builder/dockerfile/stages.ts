import { formatPlatform, type Platform, parsePlatform } from '#oci/platform.ts';
import { canonicalString, tryParseReference, withDefaultTag } from '#oci/reference.ts';
import { messageOf } from '#base/errors.ts';
import { quote } from './characters.ts';
import { type Expanded, expand, ExpandError } from './expand.ts';
import type { ArgInstruction, CopyInstruction, Instruction, ParsedDockerfile, Stage } from './instructions.ts';
import type { Linter } from './linter.ts';
import { platformArgs } from './platform-args.ts';
import { DockerfileError, type Range, type Source } from './source.ts';
import { didYouMean, suggest } from './suggest.ts';

/** Where files come from: another stage, the build context, a named context, an image. */
export type SourceReference =
  | { readonly kind: 'stage'; readonly index: number }
  | { readonly kind: 'context'; readonly name: string }
  | { readonly kind: 'image'; readonly name: string }
  | { readonly kind: 'scratch' };

export interface PlannedStage {
  readonly stage: Stage;
  /** The stage's name, or `stage-N`. */
  readonly label: string;
  /** A named context with the stage's name takes the whole stage's place: then its instructions do not count. */
  readonly base: SourceReference;
  readonly isReplaced: boolean;
  /** What `--platform` says; undefined is the target platform (or, for a stage that begins with another, that one's). */
  readonly platform?: Platform;
}

/** A Dockerfile whose `FROM` lines have their values. */
export interface BuildPlan {
  readonly parsed: ParsedDockerfile;
  readonly stages: readonly PlannedStage[];
  /** The place in `stages` of the one to build. */
  readonly target: number;
  /** The variables outside of stages, for `DispatchContext.globals`. */
  readonly globals: ReadonlyMap<string, string>;
}

export interface PlanOptions {
  readonly buildArgs: ReadonlyMap<string, string>;
  readonly buildPlatform: Platform;
  readonly targetPlatform: Platform;
  /** A stage's name; undefined is the last stage. */
  readonly target?: string | undefined;
  /** The names given with `--build-context`. */
  readonly namedContexts?: ReadonlySet<string>;
  readonly lint?: Linter;
}

/**
 * Gives `FROM` its variables' values and finds out what each stage begins with. Throws DockerfileError (InvalidArgument) for a base that is empty
 * or no image name, a platform that is none, a target that does not exist (with a suggestion) and stages that need each other in a circle.
 */
export function planStages(parsed: ParsedDockerfile, options: PlanOptions): BuildPlan {
  const planner = new Planner(parsed, options);
  const plan = planner.plan();
  checkCircles(plan, options);
  return plan;
}

/**
 * What an instruction's `--from` or `from=` means in a stage, as `references` lists them. Throws DockerfileError for a number that is no stage and
 * for a stage that comes later.
 */
export function resolveSource(
  plan: BuildPlan,
  from: string,
  { stage, range, namedContexts }: { stage: number; range: Range; namedContexts?: ReadonlySet<string> },
): SourceReference {
  const { source } = plan.parsed;
  const found = lookUpSource(plan, from, namedContexts);
  if (found === undefined) throw new DockerfileError(`invalid stage index ${from}`, { range, source });
  if (found.kind === 'stage' && found.index >= stage) {
    const current = plan.stages[stage]?.label ?? '';
    throw new DockerfileError(`cannot copy from stage ${quote(from)}, it needs to be defined before current stage ${quote(current)}`, {
      range,
      source,
    });
  }
  return found;
}

function lookUpSource(plan: BuildPlan, from: string, namedContexts: ReadonlySet<string> | undefined): SourceReference | undefined {
  const named = plan.stages.findLast(({ stage }) => stage.name === from.toLowerCase());
  if (named !== undefined) return { kind: 'stage', index: named.stage.index };
  if (/^[+-]?\d+$/.test(from)) {
    const index = Number(from);
    return index >= 0 && index < plan.stages.length ? { kind: 'stage', index } : undefined;
  }
  if (from.toLowerCase() === 'scratch') return { kind: 'scratch' };
  const context = findContext(from, namedContexts);
  return context === undefined ? { kind: 'image', name: from } : { kind: 'context', name: context };
}

/** The other places that an instruction takes files from, as written: `COPY --from`, `RUN --mount from=`. Empty when there is none. */
export function references(instruction: Instruction): readonly { readonly from: string; readonly range: Range }[] {
  if (instruction.kind === 'copy') return instruction.from === undefined ? [] : [{ from: instruction.from, range: instruction.range }];
  if (instruction.kind !== 'run') return [];
  return instruction.mounts.flatMap(({ from }) => (from === undefined ? [] : [{ from, range: instruction.range }]));
}

/** The context that a name in a Dockerfile means: by the same text, or by the same image name in full. */
export function findContext(name: string, contexts: ReadonlySet<string> | undefined): string | undefined {
  if (contexts === undefined || contexts.size === 0) return undefined;
  if (name.toLowerCase() === 'scratch' || name.toLowerCase() === 'context') return undefined;
  if (contexts.has(name)) return name;
  const full = inFull(name);
  return full === undefined ? undefined : [...contexts].find(context => inFull(context) === full);
}

function inFull(name: string): string | undefined {
  const reference = tryParseReference(name);
  return reference === undefined ? undefined : canonicalString(withDefaultTag(reference));
}

class Planner {
  readonly #parsed: ParsedDockerfile;
  readonly #options: PlanOptions;
  readonly #source: Source;

  constructor(parsed: ParsedDockerfile, options: PlanOptions) {
    this.#parsed = parsed;
    this.#options = options;
    this.#source = parsed.source;
  }

  plan(): BuildPlan {
    const { stages } = this.#parsed;
    const target = this.#target();
    const { buildPlatform, targetPlatform, buildArgs } = this.#options;
    const targetStage = this.#options.target ?? stages.at(-1)?.name ?? '';
    const given = platformArgs({ buildPlatform, targetPlatform, targetStage });
    const platform = new Map(given.map(([name, value]) => [name, buildArgs.get(name) ?? value]));
    this.#checkDefaults(platform);
    const globals = this.#metaArgs(platform, buildArgs);
    const declared = new Set([...globals.keys(), ...this.#parsed.metaArgs.flatMap(({ args }) => args.map(({ name }) => name))]);
    const planned: PlannedStage[] = [];
    for (const stage of stages) planned.push(this.#planStage(stage, { globals, declared, earlier: planned }));
    this.#checkReferences();
    return { parsed: this.#parsed, stages: planned, target, globals };
  }

  #target(): number {
    const { stages } = this.#parsed;
    const { target } = this.#options;
    if (target === undefined || target === '') return stages.length - 1;
    const found = stages.findLast(({ name }) => name === target.toLowerCase());
    if (found !== undefined) return found.index;
    const names = stages.flatMap(({ name }) => (name === undefined ? [] : [name]));
    throw new DockerfileError(`target stage ${quote(target)} could not be found${didYouMean(target, names)}`, { source: this.#source });
  }

  #metaArgs(platform: ReadonlyMap<string, string>, buildArgs: ReadonlyMap<string, string>): Map<string, string> {
    const globals = new Map(platform);
    for (const instruction of this.#parsed.metaArgs) {
      for (const { name, value } of instruction.args) {
        const given = buildArgs.get(name) ?? (value === undefined ? undefined : this.#expand(value, globals, instruction).text);
        if (given !== undefined) globals.set(name, given);
      }
    }
    return globals;
  }

  #expand(text: string, globals: ReadonlyMap<string, string>, { range }: Pick<ArgInstruction, 'range'>, what = ''): Expanded {
    try {
      return expand(text, name => globals.get(name), { escape: this.#parsed.directives.escape });
    } catch (err) {
      if (!(err instanceof ExpandError)) throw err;
      throw new DockerfileError(`${what}${err.message}`, { range, source: this.#source });
    }
  }

  #planStage(
    stage: Stage,
    {
      globals,
      declared,
      earlier,
    }: { globals: ReadonlyMap<string, string>; declared: ReadonlySet<string>; earlier: readonly PlannedStage[] },
  ): PlannedStage {
    const { range } = stage;
    const base = this.#expand(stage.baseName, globals, stage);
    this.#reportUndeclared(stage, base.unmatched, declared);
    if (base.text === '') throw new DockerfileError(`base name (${stage.baseName}) should not be blank`, { range, source: this.#source });
    const platform = stage.platform === undefined ? undefined : this.#platform(stage, stage.platform, globals, declared);
    const label = stage.name ?? `stage-${stage.index}`;
    const own = stage.name === undefined ? undefined : findContext(stage.name, this.#options.namedContexts);
    const common = { stage, label, ...(platform !== undefined && { platform }) };
    if (own !== undefined) return { ...common, base: { kind: 'context', name: own }, isReplaced: true };
    return { ...common, base: this.#base(base.text, stage, earlier), isReplaced: false };
  }

  #base(name: string, { range }: Stage, earlier: readonly PlannedStage[]): SourceReference {
    const stage = earlier.findLast(candidate => candidate.stage.name === name.toLowerCase());
    if (stage !== undefined) return { kind: 'stage', index: stage.stage.index };
    if (name === 'scratch') return { kind: 'scratch' };
    const context = findContext(name, this.#options.namedContexts);
    if (context !== undefined) return { kind: 'context', name: context };
    if (tryParseReference(name) === undefined) {
      throw new DockerfileError(`failed to parse stage name ${quote(name)}: invalid reference format`, { range, source: this.#source });
    }
    return { kind: 'image', name };
  }

  #platform(stage: Stage, written: string, globals: ReadonlyMap<string, string>, declared: ReadonlySet<string>): Platform {
    const value = this.#expand(written, globals, stage, `failed to process arguments for platform ${written}: `);
    this.#reportUndeclared(stage, value.unmatched, declared);
    this.#reportPlatform(stage, written, value, globals);
    const hint = [...value.unmatched].map(name => didYouMean(name, globals.keys())).find(text => text !== '') ?? '';
    const fail = (reason: string): never => {
      throw new DockerfileError(`${reason}${hint}`, { range: stage.range, source: this.#source });
    };
    if (value.text === '') return fail(`empty platform value from expression ${written}`);
    try {
      return parsePlatform(value.text, this.#options.buildPlatform);
    } catch (err) {
      return fail(`failed to parse platform ${written}: ${messageOf(err)}`);
    }
  }

  #reportUndeclared({ range, comments }: Stage, unmatched: ReadonlySet<string>, declared: ReadonlySet<string>): void {
    for (const name of unmatched) {
      if (declared.has(name)) continue;
      const match = suggest(name, declared);
      const hint = match === undefined ? '' : ` (did you mean ${match}?)`;
      this.#options.lint?.report('UndefinedArgInFrom', range, `FROM argument '${name}' is not declared${hint}`, comments);
    }
  }

  #reportPlatform({ range, comments, name = '' }: Stage, written: string, value: Expanded, globals: ReadonlyMap<string, string>): void {
    const { lint } = this.#options;
    const isTarget = value.matched.size === 1 && value.unmatched.size === 0 && value.matched.has('TARGETPLATFORM');
    if (isTarget && value.text === globals.get('TARGETPLATFORM')) {
      const detail = `Setting platform to predefined ${written} in FROM is redundant as this is the default behavior`;
      lint?.report('RedundantTargetPlatform', range, detail, comments);
    }
    if (value.matched.size > 0 || value.unmatched.size > 0) return;
    let platform: Platform;
    try {
      platform = parsePlatform(value.text, this.#options.buildPlatform);
    } catch {
      // Planning the stage says so.
      return;
    }
    if (name.includes(platform.os) || name.includes(platform.architecture)) return;
    const detail = `FROM --platform flag should not use constant value ${quote(value.text)}`;
    lint?.report('FromPlatformFlagConstDisallowed', range, detail, comments);
  }

  /** Without any build argument, bases should still have names. */
  #checkDefaults(platform: ReadonlyMap<string, string>): void {
    const { lint } = this.#options;
    if (lint === undefined) return;
    try {
      const globals = this.#metaArgs(platform, new Map());
      for (const { baseName, range, comments } of this.#parsed.stages) {
        if (tryParseReference(expand(baseName, name => globals.get(name), { escape: this.#parsed.directives.escape }).text) === undefined) {
          const detail = `Default value for ARG ${baseName} results in empty or invalid base image name`;
          lint.report('InvalidDefaultArgInFrom', range, detail, comments);
        }
      }
    } catch {
      // What cannot be expanded fails the build a little later.
    }
  }

  #checkReferences(): void {
    for (const { instructions } of this.#parsed.stages) {
      for (const instruction of instructions) if (instruction.kind === 'copy') this.#checkFrom(instruction);
    }
  }

  #checkFrom({ from = '', range }: CopyInstruction): void {
    let plain = from;
    try {
      plain = expand(from, () => undefined, { escape: this.#parsed.directives.escape }).text;
    } catch {
      plain = '';
    }
    if (plain === from) return;
    throw new DockerfileError(
      'variable expansion is not supported for --from, define a new stage with FROM using ARG from global scope as a workaround',
      { range, source: this.#source },
    );
  }
}

function checkCircles(plan: BuildPlan, { namedContexts }: PlanOptions): void {
  const done = new Set<number>();
  const open = new Set<number>();
  const visit = (index: number): void => {
    if (done.has(index)) return;
    open.add(index);
    const stage = plan.stages[index];
    for (const { from, range } of (stage?.isReplaced === true ? [] : (stage?.stage.instructions ?? [])).flatMap(references)) {
      const found = lookUpSource(plan, from, namedContexts);
      if (found === undefined) throw new DockerfileError(`invalid stage index ${from}`, { range, source: plan.parsed.source });
      if (found.kind !== 'stage') continue;
      if (open.has(found.index)) {
        const reason = `circular dependency detected on stage: ${plan.stages[found.index]?.label ?? ''}`;
        throw new DockerfileError(reason, { range, source: plan.parsed.source });
      }
      visit(found.index);
    }
    open.delete(index);
    done.add(index);
  };
  for (const { stage } of plan.stages) visit(stage.index);
}

/** A base that was built for another platform than the one asked for. */
export function reportBasePlatform(
  lint: Linter,
  { stage: { baseName, range, comments } }: Pick<PlannedStage, 'stage'>,
  { expected, actual }: { expected: Platform; actual: Platform },
): void {
  if (actual.os === expected.os && actual.architecture === expected.architecture) return;
  const detail = `Base image ${baseName} was pulled with platform ${quote(formatPlatform(actual))}, expected ${quote(formatPlatform(expected))} for current build`;
  lint.report('InvalidBaseImagePlatform', range, detail, comments);
}

/** Every stage that the target needs, itself included. `RunInstruction`s and `COPY` count, and so does what a stage begins with. */
export function neededStages(plan: BuildPlan, namedContexts?: ReadonlySet<string>): ReadonlySet<number> {
  const needed = new Set<number>();
  const visit = (index: number): void => {
    const planned = plan.stages[index];
    if (planned === undefined || needed.has(index)) return;
    needed.add(index);
    if (planned.base.kind === 'stage') visit(planned.base.index);
    if (planned.isReplaced) return;
    for (const { from, range } of planned.stage.instructions.flatMap(references)) {
      const source = resolveSource(plan, from, { stage: index, range, ...(namedContexts !== undefined && { namedContexts }) });
      if (source.kind === 'stage') visit(source.index);
    }
  };
  visit(plan.target);
  return needed;
}
