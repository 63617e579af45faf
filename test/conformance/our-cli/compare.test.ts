import { afterAll, beforeAll, describe, expect } from 'bun:test';
import { sharedDaemon } from '#test/helpers/containers.ts';
import { tempFolder } from '#test/helpers/daemon.ts';
import { dockerCommand } from '#test/helpers/docker-cli.ts';
import { type Dockerd, startDockerd } from '#test/helpers/dockerd.ts';
import { needs } from '#test/helpers/needs.ts';
import { run, runOk } from '#test/helpers/run.ts';
import { compareCases, deliberateDifferences, oldDaemonCases } from './compare-cases.ts';
import { linkedAsDocker } from './our-docker.ts';
import { splitWords } from './words.ts';

/** Durations, and what the stock one does not keep in order, differ from one moment to the next. */
const steady = (text: string): string =>
  text
    .replace(/(Less than a second|About an? (minute|hour)|\d+ (seconds?|minutes?|hours?|days?|weeks?|months?))( ago)?/g, '<time>')
    .replace(/^(Up|Exited \(\d+\)) <time>\s+/gm, '$1 <time> ')
    .replace(/<time>\s+/g, '<time> ')
    .replace(/(CREATED|STATUS)\s+/g, '$1 ')
    .replace(/[0-9a-f]{64}(?=": \{)/g, '<id>')
    .replace(/^-(\d|-)+$/gm, '');

function compareBefore(host: () => string, apiVersion: string, cases: readonly string[] = compareCases): void {
  let folder: Awaited<ReturnType<typeof tempFolder>>;
  let ours: string[];
  const docker = async (command: readonly string[], words: readonly string[]): Promise<object> => {
    const env = { DOCKER_HOST: host(), DOCKER_CONFIG: folder.path, HOME: folder.path, DOCKER_API_VERSION: apiVersion };
    const { exitCode, stdout, stderr } = await run([...command, ...words], { env });
    return { exitCode, stdout: steady(stdout), stderr: steady(stderr) };
  };

  beforeAll(async () => {
    folder = await tempFolder();
    ours = await linkedAsDocker(folder.path);
    const make = async (...words: string[]): Promise<string> =>
      await runOk([...dockerCommand(), ...words], { env: { DOCKER_HOST: host() } });
    await make('volume', 'create', 'v1');
    await make('network', 'create', '-d', 'bridge', 'n1');
    await make('run', '-d', '--name', 'c1', '-l', 'a.b-c=1', '-v', 'v1:/data', '--network', 'none', 'busybox', 'sleep', '100000');
    await make('run', '--name', 'c2', '--network', 'none', 'busybox', 'sh', '-c', 'echo one; echo two');
  }, 60_000);
  afterAll(async () => {
    await folder[Symbol.asyncDispose]();
  });

  const { test } = needs('root');
  test.each(cases.filter(line => !deliberateDifferences.has(line)).map(line => [line]))(
    'docker %s',
    async line => {
      const words = splitWords(line.replaceAll('%f', folder.path));
      const theirs = await docker(dockerCommand(), words);
      expect(await docker(ours, words)).toEqual(theirs);
    },
    30_000,
  );
}

describe('both command lines before dockerd', () => {
  let dockerd: Dockerd | undefined;
  const { describe: describeHere } = needs('root', 'dockerd');
  describeHere('the reference', () => {
    beforeAll(async () => {
      dockerd = await startDockerd();
    }, 60_000);
    afterAll(async () => {
      await dockerd?.[Symbol.asyncDispose]();
    }, 60_000);
    compareBefore(() => dockerd?.host ?? '', '1.41');
  });
});

describe('both command lines before our daemon', () => {
  const { describe: describeHere } = needs('root', 'conmon', 'nft');
  describeHere('Berth', () => {
    const daemon = sharedDaemon({ args: ['--experimental'] });
    // The newest that the stock one knows: newer ones tell more about images.
    compareBefore(() => daemon().host, '1.50');
  });
  describeHere('an old daemon', () => {
    const daemon = sharedDaemon();
    compareBefore(() => daemon().host, '1.24', oldDaemonCases);
  });
});
