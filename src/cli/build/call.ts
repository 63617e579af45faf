import { formatWarning } from '#builder/dockerfile/linter.ts';
import type { DockerfileError } from '#builder/dockerfile/source.ts';
import { quoteGo } from '../output/text.ts';
import type { Cli } from '../cli.ts';
import { ExitError } from '../errors.ts';
import { alignColumns } from '../output/tab-writer.ts';
import type { ReadDockerfile } from './dockerfile.ts';

export type CallMethod = 'build' | 'check' | 'outline' | 'targets';

export interface Call {
  readonly method: CallMethod;
  readonly isJson: boolean;
  readonly ignoresStatus: boolean;
}

const methods: Readonly<Record<string, CallMethod>> = {
  build: 'build',
  '': 'build',
  check: 'check',
  lint: 'check',
  outline: 'outline',
  targets: 'targets',
};

/** Reads `--call`: a method, and `format=json` or `ignorestatus=true` after it. */
export function parseCall(text: string): Call {
  const [name = '', ...options] = text.split(',');
  const method = Object.hasOwn(methods, name) ? methods[name] : undefined;
  if (method === undefined) throw new ExitError(1, `invalid call method ${quoteGo(name)}: expected build, check, outline or targets`);
  let call: Call = { method, isJson: false, ignoresStatus: false };
  for (const option of options) {
    const [, key = '', value = ''] = /^([^=]*)=?(.*)$/.exec(option) ?? [];
    if (key === 'format' && (value === 'json' || value === 'text')) call = { ...call, isJson: value === 'json' };
    else if (key === 'ignorestatus') call = { ...call, ignoresStatus: value !== 'false' };
    else throw new ExitError(1, `invalid value ${quoteGo(option)} of --call: expected format=json or ignorestatus=true`);
  }
  return call;
}

/** Shows what the checks found. The exit code is 1 when that was something. */
export function showChecks(cli: Cli, { parsed, lint }: Pick<ReadDockerfile, 'parsed' | 'lint'>, call: Call): number {
  const { warnings } = lint;
  const { source } = parsed;
  if (call.isJson) {
    cli.out.line(
      JSON.stringify(
        { warnings: warnings.map(({ rule, detail, range }) => toJson(rule, detail, range)), sources: [sourceJson(source)] },
        undefined,
        2,
      ),
    );
  } else if (warnings.length === 0) cli.out.line('Check complete, no warnings found.');
  else {
    cli.out.line(`Check complete, ${warnings.length === 1 ? '1 warning has' : `${warnings.length} warnings have`} been found!`);
    for (const warning of warnings) cli.out.write(formatWarning(warning, source));
  }
  return warnings.length === 0 || call.ignoresStatus ? 0 : 1;
}

/** A Dockerfile that cannot be read is what a check found. */
export function showCheckError(cli: Cli, err: DockerfileError, { isJson }: Call): number {
  if (isJson) {
    const location = { ranges: err.range === undefined ? [] : [err.range] };
    cli.out.line(
      JSON.stringify(
        { warnings: [], sources: err.source === undefined ? [] : [sourceJson(err.source)], buildError: { message: err.reason, location } },
        undefined,
        2,
      ),
    );
  } else cli.err.write(`ERROR: ${err.message}\n${err.excerpt()}`);
  return 1;
}

const sourceJson = ({ name, text }: { name: string; text: string }) => ({
  filename: name,
  language: 'Dockerfile',
  data: Buffer.from(text).toString('base64'),
});

const toJson = (
  rule: { name: string; description: string; url: string },
  detail: string,
  range: { start: { line: number }; end: { line: number } },
) => ({
  ruleName: rule.name,
  description: rule.description,
  ...(rule.url !== '' && { url: rule.url }),
  detail,
  location: { ranges: [{ start: { line: range.start.line }, end: { line: range.end.line } }] },
});

/** The stages that `--target` can name. */
export function showTargets(cli: Cli, { parsed }: Pick<ReadDockerfile, 'parsed'>, { isJson }: Call): number {
  const targets = parsed.stages.map(({ name, description, baseName, platform, index, range }) => ({
    ...(name !== undefined && { name }),
    ...(index === parsed.stages.length - 1 && { default: true }),
    ...(description !== undefined && { description }),
    base: baseName,
    ...(platform !== undefined && { platform }),
    location: { ranges: [{ start: { line: range.start.line }, end: { line: range.end.line } }] },
  }));
  if (isJson) {
    cli.out.line(JSON.stringify({ targets, sources: [Buffer.from(parsed.source.text).toString('base64')] }, undefined, 2));
    return 0;
  }
  const named = targets.filter(target => target.name !== undefined || target.default === true);
  const rows = named.map(target => [
    `${target.name ?? '(default)'}${target.name !== undefined && target.default === true ? ' (default)' : ''}`,
    target.description ?? '',
  ]);
  cli.out.write(alignColumns(`${[['TARGET', 'DESCRIPTION'], ...rows].map(row => row.join('\t')).join('\n')}\n`));
  return 0;
}

/** The arguments, secrets and agents that the target can use. */
export function showOutline(cli: Cli, { parsed, plan }: Pick<ReadDockerfile, 'parsed' | 'plan'>, { isJson }: Call): number {
  const target = plan.stages[plan.target]?.stage;
  const instructions = [...parsed.metaArgs, ...(target?.instructions ?? [])];
  const args = instructions.flatMap(instruction => (instruction.kind === 'arg' ? instruction.args : []));
  const values = [...new Map(args.map(arg => [arg.name, arg])).values()].map(({ name, value = '', description = '' }) => ({
    name,
    value: plan.globals.get(name) ?? value,
    description,
  }));
  if (isJson) {
    const named = {
      ...(target?.name !== undefined && { name: target.name }),
      ...(target?.description !== undefined && { description: target.description }),
    };
    cli.out.line(JSON.stringify({ ...named, args: values }, undefined, 2));
    return 0;
  }
  if (target?.name !== undefined) cli.out.line(`TARGET:      ${target.name}`);
  if (target?.description !== undefined) cli.out.line(`DESCRIPTION: ${target.description}`);
  if (target?.name !== undefined) cli.out.line();
  const rows = values.map(({ name, value, description }) => [name, value, description]);
  if (rows.length > 0)
    cli.out.write(alignColumns(`${[['BUILD ARG', 'VALUE', 'DESCRIPTION'], ...rows].map(row => row.join('\t')).join('\n')}\n`));
  return 0;
}
