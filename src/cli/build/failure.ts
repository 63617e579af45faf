import type { ParsedDockerfile } from '#builder/dockerfile/instructions.ts';
import { type DockerfileError, formatExcerpt, type Range } from '#builder/dockerfile/source.ts';
import type { FailurePlace } from '#client/buildkit/control.ts';
import type { Output } from '../output/terminal.ts';
import type { BuildFailure } from './classic-stream.ts';

/** Shows why a build failed: the end of what the step wrote, its lines in the Dockerfile, and the reason. */
export function showFailure(err: Output, { message, step, place }: BuildFailure, parsed: ParsedDockerfile | undefined): void {
  if (step !== undefined && step.lines.length > 0) {
    err.write(`------\n > ${step.name}:\n${step.lines.map(line => `${line}\n`).join('')}------\n`);
  }
  if (place !== undefined) err.write(formatExcerpt(place, rangeOf(place)));
  else if (step !== undefined && parsed !== undefined) {
    const range = rangeOfCode(parsed, step.code);
    if (range !== undefined) err.write(formatExcerpt(parsed.source, range));
  }
  err.line(`ERROR: failed to build: failed to solve: ${reasonOf(message)}`);
}

/** A place without an extent means its whole lines. */
function rangeOf({ start, end }: FailurePlace): Range {
  const isExtended = end.line > start.line || end.character > start.character;
  if (isExtended) return { start: { line: start.line, column: start.character + 1 }, end: { line: end.line, column: end.character + 1 } };
  return { start: { line: start.line, column: 1 }, end: { line: start.line + 1, column: 1 } };
}

/** A Dockerfile that is wrong. */
export function showDockerfileError(err: Output, error: DockerfileError): void {
  err.write(error.excerpt());
  err.line(`ERROR: failed to build: failed to solve: ${error.message}`);
}

function reasonOf(message: string): string {
  const [, command = '', code = '', hint = ''] = /^The command '([^]*?)' returned a non-zero code: (\d+)(: [^]*)?$/.exec(message) ?? [];
  return code === '' ? message : `process ${JSON.stringify(command)} did not complete successfully: exit code: ${code}${hint}`;
}

/** Daemons name a step by its instruction, with one space where there are several. */
function rangeOfCode({ stages, metaArgs }: ParsedDockerfile, code: string): Range | undefined {
  const squeeze = (text: string): string => text.trim().replace(/\s+/g, ' ').toLowerCase();
  const all = [...metaArgs, ...stages.flatMap(stage => [stage, ...stage.instructions])];
  return all.find(statement => squeeze(statement.code) === squeeze(code))?.range;
}
