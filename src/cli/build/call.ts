import type { DockerfileError } from '#builder/dockerfile/source.ts';
import { type Answer, lintAnswer, lintErrorAnswer, outlineAnswer, targetsAnswer } from '#builder/dockerfile/subrequests.ts';
import { quoteGo } from '../output/text.ts';
import type { Cli } from '../cli.ts';
import { ExitError } from '../errors.ts';
import { alignColumns } from '../output/tab-writer.ts';
import type { ReadDockerfile } from './dockerfile.ts';

/** What BuildKit calls the questions. */
export const requestOf = { check: 'frontend.lint', outline: 'frontend.outline', targets: 'frontend.targets' } as const;

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
  show(cli, lintAnswer(parsed, lint), call);
  return lint.warnings.length === 0 || call.ignoresStatus ? 0 : 1;
}

/** A Dockerfile that cannot be read is what a check found. */
export function showCheckError(cli: Cli, err: DockerfileError, call: Call): number {
  const answer = lintErrorAnswer(err);
  if (call.isJson) show(cli, answer, call);
  else cli.err.write(answer.text);
  return 1;
}

/** The stages that `--target` can name. */
export function showTargets(cli: Cli, { parsed }: Pick<ReadDockerfile, 'parsed'>, call: Call): number {
  return show(cli, targetsAnswer(parsed), call);
}

/** The arguments, secrets and agents that the target can use. */
export function showOutline(cli: Cli, { parsed, plan }: Pick<ReadDockerfile, 'parsed' | 'plan'>, call: Call): number {
  return show(cli, outlineAnswer(parsed, plan), call);
}

function show(cli: Cli, { json, text }: Answer, { isJson }: Call): number {
  if (isJson) cli.out.line(JSON.stringify(json, undefined, 2));
  else cli.out.write(text.includes('\t') ? alignColumns(text) : text);
  return 0;
}
