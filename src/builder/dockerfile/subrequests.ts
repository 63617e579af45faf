import { splitCsv } from '#base/csv.ts';
import type { ParsedDockerfile } from './instructions.ts';
import { formatWarning, type Linter } from './linter.ts';
import type { DockerfileError, Range, Source } from './source.ts';
import { type BuildPlan, neededStages } from './stages.ts';

/** What can be asked about a Dockerfile instead of building it, as JSON data in BuildKit's shapes, and as text for people. */
export interface Answer {
  readonly json: object;
  /** Words with tabs between columns. */
  readonly text: string;
}

const locationOf = ({ start, end }: Range): object => ({ ranges: [{ start: { line: start.line }, end: { line: end.line } }] });

const sourceJson = ({ name, text }: Source): object => ({
  filename: name,
  language: 'Dockerfile',
  data: Buffer.from(text).toString('base64'),
});

/** What the checks found. */
export function lintAnswer({ source }: ParsedDockerfile, { warnings }: Linter): Answer {
  const found = warnings.map(({ rule, detail, range }) => ({
    ruleName: rule.name,
    description: rule.description,
    ...(rule.url !== '' && { url: rule.url }),
    detail,
    location: locationOf(range),
  }));
  const count = warnings.length === 1 ? '1 warning has' : `${String(warnings.length)} warnings have`;
  const text =
    warnings.length === 0
      ? 'Check complete, no warnings found.\n'
      : `Check complete, ${count} been found!\n${warnings.map(warning => formatWarning(warning, source)).join('')}`;
  return { json: { warnings: found, sources: [sourceJson(source)] }, text };
}

/** A Dockerfile that cannot be read is what a check found. */
export function lintErrorAnswer(err: DockerfileError): Answer {
  const location = err.range === undefined ? { ranges: [] } : locationOf(err.range);
  return {
    json: {
      warnings: [],
      sources: err.source === undefined ? [] : [sourceJson(err.source)],
      buildError: { message: err.reason, location },
    },
    text: `ERROR: ${err.message}\n${err.excerpt()}`,
  };
}

/** The stages that `--target` can name. */
export function targetsAnswer({ stages, source }: ParsedDockerfile): Answer {
  const targets = stages.map(({ name, description, baseName, platform, index, range }) => ({
    ...(name !== undefined && { name }),
    ...(index === stages.length - 1 && { default: true }),
    ...(description !== undefined && { description }),
    base: baseName,
    ...(platform !== undefined && { platform }),
    location: locationOf(range),
  }));
  const rows = targets
    .filter(target => target.name !== undefined || target.default === true)
    .map(target => {
      const mark = target.name !== undefined && target.default === true ? ' (default)' : '';
      return [`${target.name ?? '(default)'}${mark}`, target.description ?? ''];
    });
  return { json: { targets, sources: [Buffer.from(source.text).toString('base64')] }, text: table(['TARGET', 'DESCRIPTION'], rows) };
}

/** The arguments, secrets and agents that the target can use. */
export function outlineAnswer(parsed: ParsedDockerfile, plan: BuildPlan): Answer {
  const target = plan.stages[plan.target]?.stage;
  const args = [...parsed.metaArgs, ...(target?.instructions ?? [])].flatMap(instruction =>
    instruction.kind === 'arg' ? instruction.args.map(arg => ({ ...arg, range: instruction.range })) : [],
  );
  const values = [...new Map(args.map(arg => [arg.name, arg])).values()].map(({ name, value = '', description = '', range }) => ({
    name,
    ...(description !== '' && { description }),
    value: plan.globals.get(name) ?? value,
    location: locationOf(range),
  }));
  const mounts = mountsOf(plan);
  const secrets = uses(mounts.filter(({ type }) => type === 'secret'));
  const ssh = uses(mounts.filter(({ type }) => type === 'ssh'));
  const json = {
    ...(target?.name !== undefined && { name: target.name }),
    ...(target?.description !== undefined && { description: target.description }),
    args: values,
    ...(secrets.length > 0 && { secrets }),
    ...(ssh.length > 0 && { ssh }),
    sources: [Buffer.from(parsed.source.text).toString('base64')],
  };
  const head = [
    target?.name === undefined ? '' : `TARGET:      ${target.name}\n`,
    target?.description === undefined ? '' : `DESCRIPTION: ${target.description}\n`,
  ].join('');
  const parts = [
    table(
      ['BUILD ARG', 'VALUE', 'DESCRIPTION'],
      values.map(({ name, value, description = '' }) => [name, value, description]),
    ),
    table(
      ['SECRET', 'REQUIRED'],
      secrets.map(({ name, required }) => [name, required === true ? 'true' : '']),
    ),
    table(
      ['SSH', 'REQUIRED'],
      ssh.map(({ name, required }) => [name, required === true ? 'true' : '']),
    ),
  ].filter((part, index) => part.split('\n').length > 2 || (index === 0 && values.length > 0));
  return { json, text: [head, ...parts].filter(part => part !== '').join('\n') };
}

interface UsedMount {
  readonly type: string;
  readonly id: string;
  readonly required: boolean;
  readonly range: Range;
}

/** The mounts of the stages that the target needs, as they are written. */
function mountsOf(plan: BuildPlan): UsedMount[] {
  const needed = neededStages(plan);
  return plan.stages
    .filter(({ stage, isReplaced }) => needed.has(stage.index) && !isReplaced)
    .flatMap(({ stage }) => stage.instructions)
    .flatMap(instruction => (instruction.kind === 'run' ? instruction.mounts.map(mount => ({ mount, range: instruction.range })) : []))
    .flatMap(({ mount, range }) => {
      const values = new Map(splitCsv(mount.text).map(field => keyAndValue(field)));
      const type = values.get('type') ?? 'bind';
      const target = values.get('target') ?? values.get('dst') ?? values.get('destination') ?? '';
      const id = values.get('id') ?? (type === 'ssh' ? 'default' : (target.split('/').at(-1) ?? ''));
      return [{ type, id, required: /^(?:true|1)$/.test(values.get('required') ?? ''), range }];
    });
}

/** A field without a value is a switch that is on. */
function keyAndValue(field: string): [key: string, value: string] {
  const [, key = '', , value = 'true'] = /^([^=]*)(=(.*))?$/.exec(field) ?? [];
  return [key.toLowerCase(), value];
}

function uses(mounts: readonly UsedMount[]): { readonly name: string; readonly required?: boolean; readonly location: object }[] {
  const byName = new Map<string, { name: string; required?: boolean; location: object }>();
  for (const { id, required, range } of mounts) {
    const known = byName.get(id) ?? { name: id, location: locationOf(range) };
    byName.set(id, required ? { ...known, required } : known);
  }
  return [...byName.values()];
}

const table = (head: readonly string[], rows: readonly (readonly string[])[]): string =>
  rows.length === 0 ? '' : `${[head, ...rows].map(row => row.join('\t')).join('\n')}\n`;
