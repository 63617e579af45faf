import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { dockerCommand } from '../test/helpers/docker-cli.ts';
import type { Measure } from './measures.ts';
import { type Target, timedCommand } from './target.ts';

const smallFiles = 20_000;
const smallFileBytes = 5_000;
const contextFiles = 500;

/** Builds through the classic builder's stream, which both daemons speak. */
export const buildMeasures: readonly Measure[] = [
  {
    name: 'build steps',
    share: 0.5,
    rows: { 'build: 8 RUN and a COPY, no cache': { unit: 'ms', atMost: 1 / 4 } },
    round: async target => {
      const runs = Array.from({ length: 8 }, (_, i) => `RUN echo ${String(i)} > /file-${String(i)}`);
      await using context = await contextWith({ Dockerfile: ['FROM busybox', ...runs, 'COPY . /context/'].join('\n') });
      return { 'build: 8 RUN and a COPY, no cache': await timedBuild(target, context.path, '--no-cache') };
    },
  },
  {
    name: 'build cached',
    share: 0.5,
    rows: { 'build: all cached, 500 files': { unit: 'ms', atMost: 1 / 2 } },
    round: async target => {
      const files = Object.fromEntries(
        Array.from({ length: contextFiles }, (_, i) => [`file-${String(i)}`, `content ${String(i)}\n`.repeat(50)]),
      );
      await using context = await contextWith({
        Dockerfile: 'FROM busybox\nRUN true\nCOPY . /context/\nRUN ls /context > /list',
        ...files,
      });
      await timedBuild(target, context.path);
      return { 'build: all cached, 500 files': await timedBuild(target, context.path) };
    },
  },
  {
    name: 'build copy',
    share: 0.2,
    rows: { 'build: COPY of 20,000 small files, no cache': { unit: 'ms', atMost: 0.6 } },
    round: async target => {
      await using context = await contextWith({ Dockerfile: 'FROM busybox\nCOPY files /files' });
      for (let i = 0; i < smallFiles; i += 1) {
        const folder = join(context.path, 'files', String(Math.floor(i / 200)));
        if (i % 200 === 0) await mkdir(folder, { recursive: true });
        await Bun.write(join(folder, String(i)), crypto.getRandomValues(new Uint8Array(smallFileBytes)));
      }
      return { 'build: COPY of 20,000 small files, no cache': await timedBuild(target, context.path, '--no-cache') };
    },
  },
  {
    name: 'build stages',
    share: 0.2,
    rows: { 'build: two stages of 5 s each': { unit: 'ms', atMost: 0.6 } },
    round: async target => {
      const stage = (name: string): string => `FROM busybox AS ${name}\nRUN sleep 5; echo ${name} > /${name}`;
      const last = 'FROM busybox\nCOPY --from=one /one /\nCOPY --from=two /two /';
      await using context = await contextWith({ Dockerfile: [stage('one'), stage('two'), last].join('\n') });
      return { 'build: two stages of 5 s each': await timedBuild(target, context.path, '--no-cache') };
    },
  },
];

async function timedBuild(target: Target, context: string, ...flags: readonly string[]): Promise<number> {
  return await timedCommand(target.host, ['env', 'DOCKER_BUILDKIT=0', ...dockerCommand(), 'build', '-q', ...flags, context]);
}

async function contextWith(files: Readonly<Record<string, string>>): Promise<AsyncDisposable & { readonly path: string }> {
  const path = await mkdtemp('/tmp/berth-c-');
  for (const [name, text] of Object.entries(files)) await Bun.write(join(path, name), text);
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}
