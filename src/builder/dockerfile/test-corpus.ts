import type { ImageConfigFile, ImageExecConfig } from '#oci/image-config.ts';
import { parsePlatform } from '#oci/platform.ts';
import { dispatch, type DispatchContext } from './dispatch.ts';
import { IgnoreMatcher } from './ignore.ts';
import { lintFile } from './lint.ts';
import { Linter, parseCheckOptions } from './linter.ts';
import type { Operation, StageState } from './operations.ts';
import { parseDockerfile, parseTrigger } from './parse.ts';
import { DockerfileError } from './source.ts';
import { beginStage, continueStage, defaultPath, emptyImage } from './stage-state.ts';
import { type BuildPlan, neededStages, planStages, resolveSource } from './stages.ts';

/** What a Dockerfile of the corpus leads to, one text for each part that is worth comparing. */
export interface Outcome {
  /** What the image says beyond an empty one. */
  readonly config?: string;
  readonly history?: string;
  readonly operations?: string;
  readonly warnings?: string;
  /** `line:column-line:column`, and the reason below it. */
  readonly error?: string;
}

export interface CorpusCase {
  readonly name: string;
  readonly settings: readonly (readonly [word: string, value: string])[];
  readonly dockerfile: string;
  readonly expected: Outcome;
}

export const corpusParts = ['config', 'history', 'operations', 'warnings', 'error'] as const;

/** Reads a file of the corpus: `== name`, `@ setting value` lines, the Dockerfile, and what is expected after `-- part` lines. */
export function readCorpus(text: string): CorpusCase[] {
  return text
    .split(/^== /m)
    .slice(1)
    .map(block => {
      const [name = '', ...lines] = block.trimEnd().split('\n');
      const settings: [string, string][] = [];
      while (lines[0]?.startsWith('@ ') === true) {
        const [, word = '', value = ''] = /^@ (\S+) ?(.*)$/.exec(lines.shift() ?? '') ?? [];
        settings.push([word, value]);
      }
      const [dockerfile = '', ...parts] = lines.join('\n').split(/^-- /m);
      const expected = Object.fromEntries(
        parts.map(part => {
          const end = part.indexOf('\n');
          return [part.slice(0, end), part.slice(end + 1).trimEnd()];
        }),
      );
      return { name, settings, dockerfile: transform(`${dockerfile.trimEnd()}\n`, settings), expected };
    });
}

const has = (settings: CorpusCase['settings'], word: string): boolean => settings.some(([name]) => name === word);

function transform(text: string, settings: CorpusCase['settings']): string {
  let result = has(settings, 'chomp') ? text.trimEnd() : text;
  if (has(settings, 'crlf')) result = result.replaceAll('\n', '\r\n');
  return has(settings, 'bom') ? `\uFEFF${result}` : result;
}

const host = parsePlatform('linux/amd64', { os: 'linux', architecture: 'amd64' });

const valuesOf = ({ settings }: CorpusCase, word: string): string[] => settings.filter(([name]) => name === word).map(([, value]) => value);

/** The build arguments of a case. */
export const buildArgsOf = (corpusCase: CorpusCase): Map<string, string> =>
  new Map(
    valuesOf(corpusCase, 'arg').map(value => {
      const at = value.indexOf('=');
      return [value.slice(0, at), value.slice(at + 1)];
    }),
  );

export const targetOf = (corpusCase: CorpusCase): string | undefined => valuesOf(corpusCase, 'target')[0];

/** Does everything that the language does with a case's Dockerfile, stages in order, and says what came of its target. */
export function evaluate(corpusCase: CorpusCase): Outcome {
  let lint = new Linter();
  try {
    const parsed = parseDockerfile(corpusCase.dockerfile);
    lint = new Linter(parseCheckOptions(parsed.directives.check ?? ''));
    lintFile(parsed, lint);
    const [platform] = valuesOf(corpusCase, 'platform');
    const target = targetOf(corpusCase);
    const buildArgs = buildArgsOf(corpusCase);
    const plan = planStages(parsed, {
      buildArgs,
      buildPlatform: host,
      targetPlatform: platform === undefined ? host : parsePlatform(platform, host),
      ...(target !== undefined && { target }),
      lint,
    });
    const ignored = valuesOf(corpusCase, 'ignore');
    const context: DispatchContext = {
      source: parsed.source,
      escape: parsed.directives.escape,
      buildArgs,
      globals: plan.globals,
      lint,
      ...(ignored.length > 0 && { ignore: new IgnoreMatcher(ignored) }),
    };
    const [base] = valuesOf(corpusCase, 'base');
    const config = base === undefined ? undefined : (JSON.parse(base) as ImageExecConfig);
    const { state, operations } = evaluateStages(plan, context, config);
    lint.check(parsed.source);
    return {
      ...(isNotEmpty(configOf(state)) && { config: configOf(state) }),
      ...historyOf(state),
      ...(operations.length > 0 && { operations: operations.map(showOperation).join('\n') }),
      ...warningsOf(lint),
    };
  } catch (err) {
    if (!(err instanceof DockerfileError)) {
      if (!(err instanceof Error)) throw err;
      return { error: `?\n${err.message}` };
    }
    const { range } = err;
    const place = range === undefined ? '?' : `${range.start.line}:${range.start.column}-${range.end.line}:${range.end.column}`;
    return { ...warningsOf(lint), error: `${place}\n${err.message}` };
  }
}

function evaluateStages(
  plan: BuildPlan,
  context: DispatchContext,
  base: ImageExecConfig | undefined,
): { state: StageState; operations: readonly Operation[] } {
  const needed = neededStages(plan);
  const states = new Map<number, StageState>();
  let operations: Operation[] = [];
  for (const planned of plan.stages) {
    const { stage } = planned;
    const platform = planned.platform ?? host;
    const empty = emptyImage(platform);
    const image: ImageConfigFile = planned.base.kind === 'image' && base !== undefined ? { ...empty, config: base } : empty;
    const parent = planned.base.kind === 'stage' ? states.get(planned.base.index) : undefined;
    let state = parent === undefined ? beginStage(image, platform) : continueStage(parent);
    const triggers = (parent === undefined ? image.config?.OnBuild : parent.image.config?.OnBuild) ?? [];
    const isNeeded = needed.has(stage.index);
    operations = [];
    for (const instruction of [
      ...triggers.map(trigger => parseTrigger(trigger, { source: context.source, range: stage.range })),
      ...stage.instructions,
    ]) {
      if (instruction.kind === 'copy' && instruction.from !== undefined) {
        resolveSource(plan, instruction.from, { stage: stage.index, range: instruction.range });
      }
      const dispatched = dispatch(state, instruction, context);
      ({ state } = dispatched);
      if (dispatched.operation !== undefined && isNeeded) operations.push(dispatched.operation);
    }
    states.set(stage.index, state);
    if (stage.index === plan.target) break;
  }
  const state = states.get(plan.target);
  if (state === undefined) throw new Error('the target has no state');
  return { state, operations };
}

const isNotEmpty = (text: string): boolean => text !== '{}';

/** A configuration without what every image has. */
export function configOf({ image }: Pick<StageState, 'image'>): string {
  return showConfig(image.config ?? {}, image.author);
}

export function showConfig(config: ImageExecConfig, author?: string): string {
  const entries = Object.entries({ ...config, Author: author })
    .map(([key, value]): [string, unknown] => [
      key,
      key === 'Env' && Array.isArray(value) ? value.filter(entry => entry !== `PATH=${defaultPath}`) : value,
    ])
    .filter(
      ([key, value]) =>
        key !== 'ArgsEscaped' && value !== undefined && value !== null && !(Array.isArray(value) && value.length === 0 && key === 'Env'),
    )
    .filter(([key, value]) => !(key === 'WorkingDir' && value === '/'))
    .sort(([a], [b]) => (a < b ? -1 : 1));
  return JSON.stringify(Object.fromEntries(entries.map(([key, value]) => [key, sorted(value)])));
}

function sorted(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)));
}

function historyOf({ image }: StageState): { history?: string } {
  const lines = (image.history ?? []).map(entry => `${entry.empty_layer === true ? ' ' : '*'} ${entry.created_by ?? ''}`);
  return lines.length === 0 ? {} : { history: lines.join('\n').replaceAll('\r', '\\r') };
}

/** What an operation says beyond the least it could. */
function showOperation({ range: _range, ...operation }: Operation): string {
  const dull = (key: string, value: unknown): boolean =>
    value === false ||
    value === '' ||
    value === undefined ||
    value === 'default' ||
    value === 'sandbox' ||
    (Array.isArray(value) && value.length === 0) ||
    (key === 'cwd' && value === '/');
  const entries = Object.entries(operation)
    .map(([key, value]): [string, unknown] => [
      key,
      key === 'env' && Array.isArray(value) ? value.filter(entry => entry !== `PATH=${defaultPath}`) : value,
    ])
    .filter(([key, value]) => !dull(key, value));
  return JSON.stringify(Object.fromEntries(entries));
}

function warningsOf(lint: Linter): { warnings?: string } {
  const lines = lint.warnings.map(({ rule, detail, range }) => `${rule.name}:${range.start.line} ${detail}`);
  return lines.length === 0 ? {} : { warnings: lines.join('\n') };
}
