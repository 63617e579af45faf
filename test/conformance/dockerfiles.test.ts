import { afterAll, beforeAll, describe, expect, test } from 'bun:test';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { buildArgsOf, type CorpusCase, readCorpus, showConfig, targetOf } from '#builder/dockerfile/test-corpus.ts';
import type { ImageExecConfig } from '#oci/image-config.ts';
import { tempFolder } from '#test/helpers/daemon.ts';
import { type Dockerd, startDockerd } from '#test/helpers/dockerd.ts';
import { cached } from '#test/helpers/paths.ts';
import { run } from '#test/helpers/run.ts';

const folder = join(import.meta.dir, '../../src/builder/dockerfile/corpus');

/** What the BuildKit in dockerd 20.10 does not know, or did in another way before: the corpus follows the newest. */
const isNewer = ({ name, dockerfile, expected }: CorpusCase): boolean =>
  /<<-?['"]?\w|--(?:start-interval|network|security|device|mount)|TARGETSTAGE|# (?:check|syntax)=|\$\{\w+[-+?#%/]/.test(dockerfile) ||
  /lint violation|no stages to build|needs? to be defined before/.test(expected.error ?? '') ||
  [
    'JSON with something behind',
    'an empty list',
    'an argument that uses an earlier one',
    'an argument outside of stages that has to be set',
    'a stage from a stage keeps its settings',
  ].includes(name);

/** It can be built anywhere: its base is empty, nothing runs, no file is needed. */
const isBuildable = ({ expected, settings, dockerfile }: CorpusCase): boolean =>
  expected.operations === undefined &&
  !/^(?:COPY|ADD) /m.test(dockerfile) &&
  !/^FROM .*busybox/m.test(dockerfile) &&
  settings.every(([word]) => ['arg', 'target', 'crlf', 'bom', 'chomp'].includes(word));

const cases = readdirSync(folder)
  .sort()
  .flatMap(file => readCorpus(readFileSync(join(folder, file), 'utf8')).map(corpusCase => ({ file, corpusCase })))
  .filter(({ corpusCase }) => isBuildable(corpusCase) && !isNewer(corpusCase));

const settingsCompared = [
  ...['Cmd', 'Entrypoint', 'Env', 'ExposedPorts', 'Healthcheck', 'Labels', 'OnBuild'],
  ...['Shell', 'StopSignal', 'User', 'Volumes', 'WorkingDir'],
];

describe('Dockerfiles of the corpus mean to BuildKit what they mean to Berth', () => {
  let dockerd: Dockerd;
  let context: Awaited<ReturnType<typeof tempFolder>>;

  beforeAll(async () => {
    [dockerd, context] = await Promise.all([startDockerd({ busybox: false }), tempFolder()]);
  }, 60_000);
  afterAll(async () => {
    await dockerd[Symbol.asyncDispose]();
    await context[Symbol.asyncDispose]();
  }, 60_000);

  /** The image's configuration as the corpus writes it; undefined when the build failed. */
  async function built(corpusCase: CorpusCase): Promise<string | undefined> {
    const target = targetOf(corpusCase);
    const { exitCode, stdout } = await run(
      [
        // Newer command lines build with a plug-in; this one has BuildKit's client in it.
        ...[cached('docker/usr/bin/docker'), '--host', dockerd.host, 'build', '-q', '-f', '-'],
        ...[...buildArgsOf(corpusCase)].flatMap(([name, value]) => ['--build-arg', `${name}=${value}`]),
        ...(target === undefined ? [] : ['--target', target]),
        context.path,
      ],
      { stdin: corpusCase.dockerfile, env: { DOCKER_BUILDKIT: '1', DOCKER_CONFIG: context.path } },
    );
    if (exitCode !== 0) return undefined;
    const { json } = await dockerd.api.get(`/images/${encodeURIComponent(stdout.trim())}/json`);
    const { Config, Author } = json as { Config: ImageExecConfig & Record<string, unknown>; Author?: string };
    const kept = settingsCompared.filter(key => Config[key] !== null && Config[key] !== '').map(key => [key, Config[key]]);
    return showConfig(Object.fromEntries(kept) as ImageExecConfig, Author === '' ? undefined : Author);
  }

  test('there are many to compare', () => {
    expect(cases.length).toBeGreaterThan(120);
  });

  test.each(cases.map(({ file, corpusCase }) => [file, corpusCase.name, corpusCase] as const))(
    '%s: %s',
    async (_file, _name, corpusCase) => {
      const { error, config = '{}' } = corpusCase.expected;
      expect(await built(corpusCase)).toEqual(error === undefined ? config : undefined);
    },
  );
});
