import { PartError } from './flags.ts';
import type { ArgInstruction, Instruction, ParsedDockerfile, Stage } from './instructions.ts';
import { parseStatement, takesHeredocs } from './parse-instruction.ts';
import { DockerfileError, type Range, type Source } from './source.ts';
import { parseErrorPrefix, readStatements, splitStatement, type Statement } from './statements.ts';

export interface ParseOptions {
  /** What messages call the file. */
  readonly name?: string;
}

/**
 * Reads a Dockerfile. Throws DockerfileError (InvalidArgument) for the first thing that is wrong, with its place; what can only be wrong when
 * variables have values is left to `planStages` and `dispatch`.
 */
export function parseDockerfile(text: string, { name = 'Dockerfile' }: ParseOptions = {}): ParsedDockerfile {
  const source: Source = { name, text };
  if (text === '') throw new DockerfileError('the Dockerfile cannot be empty', { source });
  const { statements, directives, emptyContinuations } = readStatements(source, takesHeredocs);
  if (statements.length === 0) throw new DockerfileError('file with no instructions', { source });
  const metaArgs: ArgInstruction[] = [];
  const stages: (Stage & { instructions: Instruction[] })[] = [];
  for (const statement of statements) {
    const parsed = located(source, statement, () => parseStatement(statement, directives.escape));
    if ('baseName' in parsed) {
      stages.push({ ...parsed, index: stages.length, instructions: [] });
      continue;
    }
    const stage = stages.at(-1);
    if (stage !== undefined) stage.instructions.push(parsed);
    else if (parsed.kind === 'arg') metaArgs.push(parsed);
    else {
      located(source, statement, () => {
        throw new PartError('no build stage in current context: only ARG may stand before the first FROM');
      });
    }
  }
  if (stages.length === 0) throw new DockerfileError('dockerfile contains no stages to build', { source });
  return { source, directives, metaArgs, stages, emptyContinuations };
}

/**
 * Reads an `ONBUILD` trigger of a base image, for a stage whose `FROM` is at `range`: that is where the instruction's errors and warnings are.
 * Throws DockerfileError.
 */
export function parseTrigger(trigger: string, { source, range }: { source: Source; range: Range }): Instruction {
  const at = (err: unknown): never => {
    if (err instanceof DockerfileError) {
      throw new DockerfileError(`ONBUILD trigger of the base image: ${err.reason}`, {
        range,
        source,
        prefix: parseErrorPrefix(range.start.line),
      });
    }
    throw err;
  };
  try {
    const text: Source = { name: source.name, text: trigger };
    const { statements, directives } = readStatements(text, takesHeredocs);
    const [statement] = statements;
    if (statement === undefined || statements.length !== 1) throw new DockerfileError('onbuild trigger should be a single expression');
    const instruction = located(text, statement, () => parseStatement(statement, directives.escape));
    if ('baseName' in instruction) throw new DockerfileError("FROM isn't allowed as an ONBUILD trigger");
    return { ...instruction, range };
  } catch (err) {
    return at(err);
  }
}

/** Instructions without a `FROM`, and the file they are in. */
export interface LooseInstructions {
  readonly source: Source;
  readonly escape: '\\' | '`';
  readonly instructions: readonly Instruction[];
}

/** Reads instructions that belong to no stage. Throws DockerfileError for the first thing that is wrong, or a word that `accepts` does not take. */
export function parseInstructions(text: string, accepts: (keyword: string) => boolean): LooseInstructions {
  const source: Source = { name: 'Dockerfile', text };
  const { statements, directives } = readStatements(source, takesHeredocs);
  const instructions = statements.map(statement => {
    const parsed = located(source, statement, () => {
      const { keyword } = splitStatement(statement.text, directives.escape);
      if (!accepts(keyword)) throw new PartError(`${keyword} is not a valid change command`);
      return parseStatement(statement, directives.escape);
    });
    if ('baseName' in parsed) throw new DockerfileError('there is no stage that could begin', { source, range: statement.range });
    return parsed;
  });
  return { source, escape: directives.escape, instructions };
}

function located<T>(source: Source, statement: Statement, parse: () => T): T {
  try {
    return parse();
  } catch (err) {
    if (!(err instanceof PartError)) throw err;
    const prefix = parseErrorPrefix(statement.range.start.line);
    throw new DockerfileError(err.message, { range: err.range ?? statement.range, source, prefix });
  }
}
