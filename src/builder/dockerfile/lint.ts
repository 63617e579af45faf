import type { Instruction, ParsedDockerfile } from './instructions.ts';
import type { Linter } from './linter.ts';
import type { Range } from './source.ts';

const reservedNames = new Set(['context', 'scratch']);

/** The checks that need nothing but the file. `planStages` and `dispatch` make the others when they are given a linter. */
export function lintFile(parsed: ParsedDockerfile, lint: Linter): void {
  for (const range of parsed.emptyContinuations) lint.report('NoEmptyContinuation', range, 'Empty continuation line');
  for (const arg of parsed.metaArgs) lintInstruction(arg, lint);
  for (const stage of parsed.stages) for (const instruction of stage.instructions) lintInstruction(instruction, lint);
  lintStages(parsed, lint);
  lintCasing(parsed, lint);
}

function lintInstruction(instruction: Instruction, lint: Linter): void {
  const { range, comments } = instruction;
  if (instruction.kind === 'maintainer') {
    lint.report('MaintainerDeprecated', range, 'Maintainer instruction is deprecated in favor of using label', comments);
  }
  if (instruction.kind === 'arg')
    lintDescription(
      'ARG',
      instruction.args.map(({ name }) => name),
      instruction,
      lint,
    );
}

function lintStages({ stages }: ParsedDockerfile, lint: Linter): void {
  const names = new Set<string>();
  for (const { name, writtenName, keyword, asKeyword, range, comments } of stages) {
    if (name === undefined || writtenName === undefined || asKeyword === undefined) continue;
    if (writtenName !== name) lint.report('StageNameCasing', range, `Stage name '${writtenName}' should be lowercase`, comments);
    const fold = keyword === keyword.toLowerCase() ? asKeyword.toLowerCase() : asKeyword.toUpperCase();
    if (isConsistent(keyword) && asKeyword !== fold) {
      lint.report('FromAsCasing', range, `'${asKeyword}' and '${keyword}' keywords' casing do not match`, comments);
    }
    lintDescription('FROM', [name], { range, comments }, lint);
    if (reservedNames.has(name)) {
      lint.report('ReservedStageName', range, `Stage name should not use the same name as reserved stage "${name}"`, comments);
    }
    if (names.has(name)) lint.report('DuplicateStageName', range, `Duplicate stage name "${name}", stage names should be unique`, comments);
    names.add(name);
  }
}

function lintDescription(
  instruction: string,
  names: readonly string[],
  { range, comments }: { range: Range; comments: readonly string[] },
  lint: Linter,
): void {
  const [word] = comments.at(-1)?.split(' ') ?? [];
  if (word === undefined || names.includes(word)) return;
  const example = names.length > 1 ? '<arg_key>' : (names[0] ?? '');
  const detail = `Comment for ${instruction} should follow the format: \`# ${example} <description>\``;
  lint.report('InvalidDefinitionDescription', range, detail, comments);
}

const isLower = (word: string): boolean => word === word.toLowerCase();
const isUpper = (word: string): boolean => word === word.toUpperCase();
const isConsistent = (word: string): boolean => isLower(word) || isUpper(word);

function lintCasing({ stages }: ParsedDockerfile, lint: Linter): void {
  const words = stages.flatMap(stage => [stage, ...stage.instructions]);
  const lower = words.filter(({ keyword }) => isLower(keyword)).length;
  const upper = words.filter(({ keyword }) => !isLower(keyword) && isUpper(keyword)).length;
  const wanted = lower > upper ? 'lowercase' : 'uppercase';
  for (const { keyword, range, comments } of words) {
    if (wanted === 'lowercase' ? isLower(keyword) : isUpper(keyword)) continue;
    const detail = `Command '${keyword}' should match the case of the command majority (${wanted})`;
    lint.report('ConsistentInstructionCasing', range, detail, comments);
  }
}
