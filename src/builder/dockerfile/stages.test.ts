import { describe, expect, test } from 'bun:test';
import { hostPlatform } from '#oci/platform.ts';
import { Linter } from './linter.ts';
import { parseDockerfile } from './parse.ts';
import { type BuildPlan, findContext, neededStages, planStages, reportBasePlatform, resolveSource } from './stages.ts';

const amd64 = hostPlatform('x64');
const arm64 = hostPlatform('arm64');

const plan = (text: string, target?: string, namedContexts?: ReadonlySet<string>): BuildPlan =>
  planStages(parseDockerfile(text), {
    buildArgs: new Map(),
    buildPlatform: amd64,
    targetPlatform: amd64,
    target,
    ...(namedContexts !== undefined && { namedContexts }),
  });

const anywhere = { start: { line: 1, column: 1 }, end: { line: 1, column: 2 } };

describe('neededStages()', () => {
  const text = `FROM a AS base
FROM base AS tools
FROM b AS unused
FROM c AS data
FROM base
COPY --from=tools x y
RUN --mount=from=data,target=/d z
`;

  test('follows bases, COPY and mounts', () => {
    expect([...neededStages(plan(text))].sort()).toEqual([0, 1, 3, 4]);
    expect([...neededStages(plan(text, 'unused'))]).toEqual([2]);
  });

  test('does not look into a stage that a named context replaces', () => {
    const contexts = new Set(['tools', 'data']);
    const replaced = plan(text, undefined, contexts);
    expect(replaced.stages[1]).toMatchObject({ isReplaced: true, base: { kind: 'context', name: 'tools' } });
    expect([...neededStages(replaced, contexts)].sort()).toEqual([0, 1, 3, 4]);
    expect([...neededStages(plan(text, 'tools', contexts), contexts)]).toEqual([1]);
  });
});

describe('planStages()', () => {
  test('says what each stage begins with', () => {
    const { stages } = plan('FROM scratch AS one\nFROM one\nFROM --platform=linux/arm64 busybox:1', undefined, new Set(['busybox:1']));
    expect(stages.map(({ base }) => base)).toEqual([
      { kind: 'scratch' },
      { kind: 'stage', index: 0 },
      { kind: 'context', name: 'busybox:1' },
    ]);
    expect(stages.map(({ label, platform }) => [label, platform])).toEqual([
      ['one', undefined],
      ['stage-1', undefined],
      ['stage-2', arm64],
    ]);
  });

  test('finds contexts by the image name in full', () => {
    expect(findContext('busybox', new Set(['docker.io/library/busybox:latest']))).toBe('docker.io/library/busybox:latest');
    expect(findContext('busybox:2', new Set(['busybox']))).toBeUndefined();
    expect(findContext('scratch', new Set(['scratch']))).toBeUndefined();
  });
});

describe('resolveSource()', () => {
  const built = plan('FROM scratch AS one\nFROM scratch AS two\nFROM scratch');

  test('finds stages by name and number, contexts and images', () => {
    const find = (from: string, namedContexts?: ReadonlySet<string>) =>
      resolveSource(built, from, { stage: 2, range: anywhere, ...(namedContexts !== undefined && { namedContexts }) });
    expect(['ONE', '1', 'busybox', 'scratch'].map(from => find(from))).toEqual([
      { kind: 'stage', index: 0 },
      { kind: 'stage', index: 1 },
      { kind: 'image', name: 'busybox' },
      { kind: 'scratch' },
    ]);
    expect(find('x', new Set(['x']))).toEqual({ kind: 'context', name: 'x' });
  });

  test('refuses what is not there yet', () => {
    expect(() => resolveSource(built, 'two', { stage: 1, range: anywhere })).toThrow('it needs to be defined before current stage "two"');
    expect(() => resolveSource(built, '9', { stage: 1, range: anywhere })).toThrow('invalid stage index 9');
  });
});

test('reportBasePlatform() warns of a base for another architecture', () => {
  const lint = new Linter();
  const [stage] = plan('FROM busybox').stages;
  if (stage === undefined) throw new Error('no stage');
  reportBasePlatform(lint, stage, { expected: amd64, actual: amd64 });
  expect(lint.warnings).toEqual([]);
  reportBasePlatform(lint, stage, { expected: amd64, actual: arm64 });
  expect(lint.warnings.map(({ detail }) => detail)).toEqual([
    'Base image busybox was pulled with platform "linux/arm64", expected "linux/amd64" for current build',
  ]);
});
