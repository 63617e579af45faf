import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'bun:test';
import { build, buildOk } from '#test/helpers/build.ts';
import { Buildx } from '#test/helpers/buildx.ts';
import { startDaemon } from '#test/helpers/daemon.ts';
import { eventually } from '#test/helpers/eventually.ts';
import { mountsBelow, processesNaming } from '#test/helpers/machine.ts';
import { needs } from '#test/helpers/needs.ts';

const { describe, test } = needs('root', 'conmon', 'nft');

describe('a daemon that is killed during a build', () => {
  test('takes the process of the step with it; what was built before is still in the cache', async () => {
    await using daemon = await startDaemon();
    const first = 'FROM busybox\nRUN echo first > /first\n';
    await buildOk(daemon.api, { Dockerfile: first });
    const lost = build(daemon.api, { Dockerfile: `${first}RUN echo begun; sleep 87654\n` }).catch(() => undefined);
    await eventually('the step runs', () => processesNaming('sleep 87654').length > 0);
    await daemon.kill();
    await lost;
    await eventually('the process of the step has ended, with no daemon to end it', () => processesNaming('sleep 87654').length === 0);
    await daemon.start();
    expect(readdirSync(join(daemon.dataRoot, 'build/work'))).toEqual([]);
    expect(mountsBelow(daemon.dataRoot)).toEqual([]);
    expect((await daemon.api.expect<unknown[]>('GET', '/containers/json?all=1')).length).toBe(0);
    expect((await build(daemon.api, { Dockerfile: first })).text).toContain('Using cache');
  });
});

const buildxNeeds = needs('root', 'conmon', 'nft', 'buildx');

buildxNeeds.test('a daemon that is killed during a build by buildx leaves nothing of it, and keeps what was built before', async () => {
  await using daemon = await startDaemon();
  using buildx = new Buildx(daemon.host);
  const folder = buildx.directory({ Dockerfile: 'FROM busybox\nCOPY file /\nRUN --mount=type=secret,id=file sleep 76543\n', file: 'text' });
  const lost = buildx.run(['buildx', 'build', '--secret', `id=file,src=${join(folder, 'file')}`, folder]);
  await eventually('the step runs', () => processesNaming('sleep 76543').length > 0);
  await daemon.kill();
  expect((await lost).exitCode).toBe(1);
  await eventually('the process of the step has ended, with no daemon to end it', () => processesNaming('sleep 76543').length === 0);
  await daemon.start();
  expect(readdirSync(join(daemon.dataRoot, 'build/work'))).toEqual([]);
  expect(readdirSync(join(daemon.execRoot, 'build-secrets'))).toEqual([]);
  expect(mountsBelow(daemon.dataRoot)).toEqual([]);
  await Bun.write(join(folder, 'Dockerfile'), 'FROM busybox\nCOPY file /\n');
  expect((await buildx.ok(['buildx', 'build', folder])).stderr).toMatch(/COPY file \/\n#\d+ CACHED/);
});

test('a daemon that is stopped during a build leaves nothing of it on the machine', async () => {
  await using daemon = await startDaemon({ args: ['--shutdown-timeout', '1'] });
  const lost = build(daemon.api, {
    Dockerfile: 'FROM busybox AS one\nRUN sleep 65432\nFROM busybox\nCOPY --from=one / /all/\nRUN sleep 65432\n',
  }).catch(() => undefined);
  await eventually('the step runs', () => processesNaming('sleep 65432').length > 0);
  await daemon.stop();
  await lost;
  expect(processesNaming('sleep 65432')).toEqual([]);
  expect(await daemon.leftovers()).toEqual([]);
  await daemon.start();
  expect(readdirSync(join(daemon.dataRoot, 'build/work'))).toEqual([]);
});
