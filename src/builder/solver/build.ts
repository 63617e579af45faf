import { invalidArgument, notFound } from '#base/errors.ts';
import { sha256, type Digest } from '#oci/digest.ts';
import type { ImageConfigFile, ImageHistory } from '#oci/image-config.ts';
import { type Platform, normalizePlatform } from '#oci/platform.ts';
import { parseReference, withDefaultTag } from '#oci/reference.ts';
import { dispatch, type DispatchContext } from '../dockerfile/dispatch.ts';
import type { Instruction } from '../dockerfile/instructions.ts';
import type { Linter } from '../dockerfile/linter.ts';
import type { Operation, StageState } from '../dockerfile/operations.ts';
import { parseTrigger } from '../dockerfile/parse.ts';
import { beginStage, continueStage, emptyImage } from '../dockerfile/stage-state.ts';
import {
  type BuildPlan,
  neededStages,
  type PlannedStage,
  references,
  reportBasePlatform,
  resolveSource,
  type SourceReference,
} from '../dockerfile/stages.ts';
import { prepareCopy, type SourceTree } from '../operations/copy.ts';
import { prepareRun } from '../operations/run.ts';
import { prepareWorkdir } from '../operations/workdir.ts';
import type { BaseImage, Layer } from '../ports.ts';
import type { BuildObserver, BuildRequest, NamedContext, StepInfo, StepResult } from '../request.ts';
import { performOrReuse, type PreparedWork, type WorkResult } from './perform.ts';
import type { BuildSession } from './session.ts';

/** What a stage has come to. */
export interface StageResult {
  readonly state: StageState;
  readonly layers: readonly Layer[];
  /** When each entry of the history happened; undefined where nothing says. */
  readonly times: readonly (string | undefined)[];
  /** The image that it began with, and how many layers and history entries are that one's. */
  readonly base: { readonly id: Digest | undefined; readonly layers: number; readonly history: number };
}

interface DoneOperation extends WorkResult {
  readonly processId: string | undefined;
}

/** Where the steps are kept that belong to no stage. */
const outsideStages = -1;

/** Builds the target of a plan. Stages that nobody needs are left out; those that do not need each other are built at the same time. */
export class Build {
  readonly #session: BuildSession<BuildRequest>;
  readonly #plan: BuildPlan;
  readonly #observer: BuildObserver;
  readonly #dispatch: DispatchContext;
  readonly #lint: Linter;
  readonly #stages = new Map<number, Promise<StageResult>>();
  readonly #images = new Map<string, Promise<BaseImage>>();
  readonly #contextNames: ReadonlySet<string>;
  /** By stage, what is said of each of its lines, `FROM` first. */
  #steps: ReadonlyMap<number, readonly StepInfo[]> = new Map();

  constructor(session: BuildSession<BuildRequest>, plan: BuildPlan, observer: BuildObserver, lint: Linter) {
    this.#session = session;
    this.#plan = plan;
    this.#observer = observer;
    this.#lint = lint;
    this.#contextNames = new Set(session.request.namedContexts.keys());
    this.#dispatch = {
      source: plan.parsed.source,
      escape: plan.parsed.directives.escape,
      buildArgs: session.request.buildArgs,
      globals: plan.globals,
      lint,
    };
  }

  async run(): Promise<StageResult> {
    const needed = neededStages(this.#plan, this.#contextNames);
    this.#steps = this.#number(needed);
    this.#observer.planned([...this.#steps.values()].flat());
    for (const step of this.#steps.get(outsideStages) ?? []) {
      this.#observer.started(step);
      this.#observer.finished(step, { how: 'config', imageId: '' });
    }
    const all = [...needed].sort((a, b) => a - b).map(index => this.#stage(index));
    // A stage that fails fails the build; the session's signal stops the others, and nothing is taken away before all have stopped.
    const results = await Promise.allSettled(all);
    const failures = results.flatMap(result => (result.status === 'rejected' ? [result.reason as unknown] : []));
    if (failures.length > 0) throw this.#session.signal.aborted ? this.#session.signal.reason : failures[0];
    return await this.#stage(this.#plan.target);
  }

  #number(needed: ReadonlySet<number>): Map<number, StepInfo[]> {
    const steps = new Map<number, StepInfo[]>();
    let number = 0;
    const next = (step: Omit<StepInfo, 'number'>): StepInfo => ({ number: (number += 1), ...step });
    steps.set(
      outsideStages,
      this.#plan.parsed.metaArgs.map(({ code, range }) => next({ code, stage: '', kind: 'global', range })),
    );
    for (const { stage, label, base, isReplaced } of this.#plan.stages) {
      if (!needed.has(stage.index)) continue;
      const instructions = isReplaced ? [] : stage.instructions;
      const image = base.kind === 'image' ? { image: base.name } : {};
      steps.set(stage.index, [
        next({ code: stage.code, stage: label, kind: 'from', range: stage.range, ...image }),
        ...instructions.map(({ code, kind, range }) => next({ code, stage: label, kind, range })),
      ]);
    }
    return steps;
  }

  #stage(index: number): Promise<StageResult> {
    const known = this.#stages.get(index);
    if (known !== undefined) return known;
    const planned = this.#plan.stages[index];
    const built =
      planned === undefined
        ? Promise.reject(invalidArgument(`there is no stage ${String(index)}`))
        : this.#build(planned).catch((err: unknown) => {
            this.#session.fail(err);
            throw err;
          });
    built.catch(() => undefined);
    this.#stages.set(index, built);
    return built;
  }

  async #build(planned: PlannedStage): Promise<StageResult> {
    const [fromStep, ...steps] = this.#steps.get(planned.stage.index) ?? [];
    if (fromStep === undefined) throw invalidArgument(`stage ${planned.label} is not part of the build`);
    this.#observer.started(fromStep);
    const begun = await this.#told(fromStep, () => this.#begin(planned, fromStep));
    let { result } = begun;
    for (const text of begun.triggers) {
      const trigger = parseTrigger(text, { source: this.#plan.parsed.source, range: planned.stage.range });
      result = await this.#told(fromStep, () => this.#instruct(planned, trigger, result, fromStep));
    }
    const isUnchanged = planned.base.kind === 'image' && begun.triggers.length === 0;
    this.#observer.finished(fromStep, { how: 'config', imageId: (isUnchanged ? result.base.id : undefined) ?? this.#idOf(result) });
    for (const [index, instruction] of (planned.isReplaced ? [] : planned.stage.instructions).entries()) {
      const step = steps[index] ?? fromStep;
      await this.#stagesFor(planned, instruction);
      this.#observer.started(step);
      const before = result;
      let how: StepResult['how'] = 'config';
      let processId: string | undefined;
      result = await this.#told(step, () =>
        this.#instruct(planned, instruction, before, step, done => {
          how = done.isCached ? 'cached' : 'done';
          processId = done.processId;
        }),
      );
      this.#observer.finished(step, { how, imageId: this.#idOf(result), processId });
    }
    return result;
  }

  /** Waits for the stages that an instruction takes files from: until they are there, it has not begun. Why one failed is told where it is used. */
  async #stagesFor(planned: PlannedStage, instruction: Instruction): Promise<void> {
    for (const { from, range } of references(instruction)) {
      const source = resolveSource(this.#plan, from, { stage: planned.stage.index, range, namedContexts: this.#contextNames });
      if (source.kind === 'stage') await this.#stage(source.index).catch(() => undefined);
    }
  }

  async #told<T>(step: StepInfo, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (err) {
      this.#observer.failed?.(step, err);
      throw err;
    }
  }

  /** What a stage stands on, and what its base wants to be done first. */
  async #begin(planned: PlannedStage, step: StepInfo): Promise<{ readonly result: StageResult; readonly triggers: readonly string[] }> {
    const { base } = planned;
    if (base.kind === 'stage') {
      const before = await this.#stage(base.index);
      const result = { ...before, state: continueStage(before.state) };
      return { result, triggers: before.state.image.config?.OnBuild ?? [] };
    }
    const platform = planned.platform ?? this.#session.platform;
    if (base.kind === 'scratch') {
      const state = beginStage(emptyImage(platform), platform);
      return { result: { state, layers: [], times: [], base: { id: undefined, layers: 0, history: 0 } }, triggers: [] };
    }
    const image = await this.#baseImage(base, platform, step);
    const actual = normalizePlatform(image.config);
    reportBasePlatform(this.#lint, planned, { expected: platform, actual });
    const state = beginStage(image.config, actual);
    const times = (image.config.history ?? []).map(entry => entry.created);
    const result = { state, layers: image.layers, times, base: { id: image.id, layers: image.layers.length, history: times.length } };
    return { result, triggers: image.config.config?.OnBuild ?? [] };
  }

  async #baseImage(source: SourceReference, platform: Platform, step: StepInfo): Promise<BaseImage> {
    if (source.kind === 'image') return await this.#image(source.name, platform, step);
    if (source.kind !== 'context') throw invalidArgument('a stage cannot begin with this');
    const context = this.#session.request.namedContexts.get(source.name);
    if (context?.kind === 'image') return await this.#image(context.reference, platform, step);
    if (context?.kind === 'built' || context?.kind === 'foreign') return await this.#contextImage(source.name, context, platform);
    throw invalidArgument(`the named context ${JSON.stringify(source.name)} is a directory: a stage cannot begin with it`);
  }

  /** An image that is a named context, brought here once. */
  #contextImage(name: string, context: NamedContext & { kind: 'built' | 'foreign' }, platform: Platform): Promise<BaseImage> {
    const key = JSON.stringify([context.kind, name, platform]);
    const known = this.#images.get(key);
    if (known !== undefined) return known;
    const image = context.kind === 'built' ? this.#takeOver(name, context.build) : context.load(this.#session.workspace, platform);
    image.catch(() => undefined);
    this.#images.set(key, image);
    return image;
  }

  /** What another build has made is held here as well: that build may end before this one. */
  async #takeOver(name: string, { config, layers }: (NamedContext & { kind: 'built' })['build']): Promise<BaseImage> {
    const { workspace } = this.#session;
    for (const layer of layers) if (!(await workspace.hold(layer))) throw notFound(`the context ${name} is gone: its build has ended`);
    return { id: workspace.idOf(config), config, layers };
  }

  /** An image by its name, brought here once for all stages that want it. */
  #image(name: string, platform: Platform, step: StepInfo): Promise<BaseImage> {
    const key = JSON.stringify([name, platform]);
    const known = this.#images.get(key);
    if (known !== undefined) return known;
    const image = this.#fetchImage(name, platform, step);
    image.catch(() => undefined);
    this.#images.set(key, image);
    return image;
  }

  async #fetchImage(name: string, platform: Platform, step: StepInfo): Promise<BaseImage> {
    const { request, workspace, signal } = this.#session;
    const here = request.pull ? undefined : await workspace.find(name, platform);
    if (here !== undefined) return here;
    const reference = withDefaultTag(parseReference(name));
    const report = (progress: Parameters<BuildObserver['progress']>[1]): void => this.#observer.progress(step, progress);
    return await workspace.pull(reference, platform, await request.authOf(reference.domain), report, signal);
  }

  async #instruct(
    planned: PlannedStage,
    instruction: Instruction,
    before: StageResult,
    step: StepInfo,
    onDone: (done: DoneOperation) => void = () => undefined,
  ): Promise<StageResult> {
    this.#session.signal.throwIfAborted();
    const { state, operation, history } = dispatch(before.state, instruction, this.#dispatch);
    if (operation === undefined) return advance(before, state, history, undefined);
    const done = await this.#operate(planned, instruction, operation, before, step);
    onDone(done);
    return advance(before, state, history, done);
  }

  async #operate(
    planned: PlannedStage,
    instruction: Instruction,
    operation: Operation,
    before: StageResult,
    step: StepInfo,
  ): Promise<DoneOperation> {
    const { request } = this.#session;
    const parent = before.layers.at(-1)?.chainId;
    const work = await this.#prepare(planned, instruction, operation, before);
    const ignoresCache = request.noCache === 'all' || request.noCache.has(planned.label);
    let processId: string | undefined;
    const result = await performOrReuse(this.#session, parent, work, {
      ignoresCache,
      onEvent: event => {
        if (event.kind === 'output') this.#observer.output(step, event.stream, event.chunk);
        else this.#observer.processStarted(step, (processId = event.id));
      },
    });
    return { ...result, processId };
  }

  async #prepare(planned: PlannedStage, instruction: Instruction, operation: Operation, before: StageResult): Promise<PreparedWork> {
    const parent = before.layers.at(-1)?.chainId;
    const treeOf = (from: string | undefined): Promise<SourceTree | undefined> => this.#tree(planned, instruction, from);
    switch (operation.kind) {
      case 'run':
        return await prepareRun(this.#session, operation, treeOf, normalizePlatform(before.state.image));
      case 'copy':
        return await prepareCopy(this.#session, operation, parent, await treeOf(operation.from));
      case 'add':
        return await prepareCopy(this.#session, operation, parent, await treeOf(undefined));
      case 'workdir':
        return prepareWorkdir(this.#session, operation);
    }
  }

  /** The files that an instruction's `from` means. */
  async #tree(planned: PlannedStage, { range }: Instruction, from: string | undefined): Promise<SourceTree | undefined> {
    const { request } = this.#session;
    if (from === undefined)
      return request.contextDir === undefined
        ? undefined
        : { root: request.contextDir, digests: request.contextDigests, keepOwners: false };
    const source = resolveSource(this.#plan, from, { stage: planned.stage.index, range, namedContexts: this.#contextNames });
    if (source.kind === 'scratch') return { root: await this.#session.view(undefined), keepOwners: true };
    if (source.kind === 'stage') {
      const { layers } = await this.#stage(source.index);
      return await this.#treeOf(layers);
    }
    const context = source.kind === 'context' ? request.namedContexts.get(source.name) : undefined;
    if (context?.kind === 'directory') return { root: context.path, digests: context.digests, keepOwners: false };
    const [step] = this.#steps.get(planned.stage.index) ?? [];
    if (step === undefined) throw invalidArgument(`stage ${planned.label} is not part of the build`);
    const image =
      context?.kind === 'built' || context?.kind === 'foreign'
        ? await this.#contextImage(from, context, this.#session.platform)
        : await this.#image(context?.reference ?? source.name, this.#session.platform, step);
    return await this.#treeOf(image.layers);
  }

  async #treeOf(layers: readonly Layer[]): Promise<SourceTree> {
    const chain = layers.at(-1)?.chainId;
    return { root: await this.#session.view(chain), chain, keepOwners: true };
  }

  #idOf(result: StageResult): string {
    return sha256(JSON.stringify([result.state.image, result.layers.map(layer => layer.diffId)]));
  }
}

/** A stage after one more instruction. */
function advance(before: StageResult, state: StageState, history: ImageHistory | undefined, done: WorkResult | undefined): StageResult {
  if (history === undefined) return { ...before, state };
  const times = [...before.times, done?.layer === undefined ? undefined : done.createdAt];
  if (done?.layer !== undefined) return { ...before, state, times, layers: [...before.layers, done.layer] };
  // Nothing was changed: the entry stands for no layer.
  const entries = state.image.history ?? [];
  const emptied = done === undefined ? entries : [...entries.slice(0, -1), { ...entries.at(-1), empty_layer: true }];
  return { ...before, state: { ...state, image: { ...state.image, history: emptied } }, times };
}

/** What the image says that a stage has become. */
export function imageConfigOf(session: BuildSession<BuildRequest>, { state, layers, times, base }: StageResult): ImageConfigFile {
  const { request, epoch, context } = session;
  const config = { ...state.image.config, Labels: { ...state.image.config?.Labels, ...request.labels } };
  const entries = state.image.history ?? [];
  const image: ImageConfigFile = {
    ...state.image,
    config: Object.keys(config.Labels).length === 0 ? state.image.config : config,
    rootfs: { type: 'layers', diff_ids: layers.map(layer => layer.diffId) },
  } as ImageConfigFile;
  if (epoch !== undefined) {
    const time = new Date(epoch * 1000).toISOString();
    const history = entries.map((entry, index) => ({ created: index < base.history ? (times[index] ?? time) : time, ...entry }));
    return { created: time, ...image, history };
  }
  const newest = times.slice(base.history).findLast(time => time !== undefined);
  const content = sha256(JSON.stringify([image, times]));
  const imageTime = newest ?? context.cache.imageTime(content, new Date().toISOString());
  let current = times.slice(0, base.history).findLast(time => time !== undefined) ?? imageTime;
  const history = entries.map((entry, index) => {
    const known = times[index];
    if (index < base.history) return entry;
    current = known ?? current;
    return { created: current, ...entry };
  });
  return { created: imageTime, ...image, history };
}
