import { expect } from 'bun:test';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { sharedDaemon } from '#test/helpers/containers.ts';
import { needs } from '#test/helpers/needs.ts';
import { projectRoot } from '#test/helpers/paths.ts';
import { run } from '#test/helpers/run.ts';

const { describe, test } = needs('root', 'conmon', 'nft', 'node');

/** What a project's own tests would do, by its own runtime: the library reads its settings when it is loaded. */
const program = `
const { GenericContainer, Wait } = require('testcontainers');
(async () => {
  const seen = {};
  for (const buildkit of [false, true]) {
    let builder = GenericContainer.fromDockerfile(process.argv[2]).withBuildArgs({ WHO: 'tests' }).withCache(false);
    if (buildkit) builder = builder.withBuildkit();
    const image = await builder.build('of-testcontainers:' + (buildkit ? 2 : 1), { deleteOnExit: false });
    const container = await image.withExposedPorts(8080).withWaitStrategy(Wait.forListeningPorts()).start();
    const answer = await fetch('http://' + container.getHost() + ':' + container.getMappedPort(8080) + '/');
    const { output, exitCode } = await container.exec(['cat', '/who']);
    seen[buildkit ? 'buildkit' : 'classic'] = [await answer.text(), output, exitCode];
    await container.stop();
  }
  console.log(JSON.stringify(seen));
})().catch(err => { console.error(err); process.exit(1); });
`;

describe('Testcontainers', () => {
  const daemon = sharedDaemon();

  test('builds a Dockerfile through both builders, starts what comes of it and talks to it', async () => {
    const folder = mkdtempSync('/tmp/berth-tc-');
    try {
      const dockerfile = [
        'FROM busybox',
        'ARG WHO',
        'COPY page /www/index.html',
        'RUN echo "for $WHO" > /who',
        'CMD ["httpd", "-f", "-p", "8080", "-h", "/www"]',
      ];
      writeFileSync(join(folder, 'Dockerfile'), dockerfile.join('\n'));
      writeFileSync(join(folder, 'page'), 'a page');
      const script = join(folder, 'program.cjs');
      writeFileSync(script, program);
      const result = await run(['node', script, folder], {
        env: {
          PATH: process.env.PATH ?? '',
          HOME: folder,
          NODE_PATH: join(projectRoot, 'node_modules'),
          DOCKER_HOST: daemon().host,
          TESTCONTAINERS_RYUK_DISABLED: 'true',
        },
      });
      expect([result.exitCode, result.exitCode === 0 ? '' : result.stderr]).toEqual([0, '']);
      const answer = ['a page', 'for tests\n', 0];
      expect(JSON.parse(result.stdout)).toEqual({ classic: answer, buildkit: answer });
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});
