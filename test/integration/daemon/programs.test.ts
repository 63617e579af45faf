import { existsSync, readdirSync } from 'node:fs';
import { symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect } from 'bun:test';
import { create, inspect, outputOf, sh } from '#test/helpers/containers.ts';
import { startDaemon, tempFolder, TestDaemon } from '#test/helpers/daemon.ts';
import { needs } from '#test/helpers/needs.ts';

const { describe, test } = needs('root', 'conmon', 'nft', 'crun', 'runc');

/** What the daemon stands on is not there: it says what is missing and what to do, and leaves nothing half done. */
describe('a machine that lacks', () => {
  let folder: Awaited<ReturnType<typeof tempFolder>>;
  beforeAll(async () => {
    folder = await tempFolder();
  });
  afterAll(() => folder[Symbol.asyncDispose]());

  /** A PATH with everything of this machine except these. */
  const pathWithout = async (...missing: readonly string[]): Promise<Record<string, string>> => {
    const bin = join(folder.path, `without-${missing.join('-')}`);
    for (const from of (process.env.PATH ?? '').split(':').filter(dir => existsSync(dir))) {
      for (const name of readdirSync(from)) {
        const to = join(bin, name);
        if (missing.includes(name) || existsSync(to)) continue;
        await Bun.$`mkdir -p ${bin}`;
        await symlink(join(from, name), to).catch(() => undefined);
      }
    }
    return { PATH: bin };
  };

  test('conmon: the daemon does not begin', async () => {
    const daemon = new TestDaemon(join(folder.path, 'c'), {}, undefined);
    await Bun.$`mkdir -p ${daemon.folder}`;
    daemon.spawn(await pathWithout('conmon'));
    expect(await daemon.exited()).toBe(1);
    expect(await daemon.log()).toContain(
      'the container monitor conmon is not installed: no executable conmon was found; install the package conmon',
    );
    await daemon[Symbol.asyncDispose]();
  });

  test('crun: runc does the work', async () => {
    await using daemon = await startDaemon({ env: await pathWithout('crun') });
    expect(await daemon.api.expect<object>('GET', '/info')).toMatchObject({ DefaultRuntime: 'runc' });
    expect(await outputOf(daemon, 'echo by runc')).toBe('by runc');
  });

  test('both: a container is created but does not start, and says what to install', async () => {
    await using daemon = await startDaemon({ env: await pathWithout('crun', 'runc') });
    const created = await daemon.api.post<{ Id?: string }>('/containers/create', { Image: 'busybox', Cmd: ['true'] });
    const refused = created.json.Id === undefined ? created : await daemon.api.post(`/containers/${created.json.Id}/start`);
    expect(refused.status).toBeGreaterThanOrEqual(400);
    expect(refused.text).toContain('crun is not installed');
    expect(refused.text).toContain('apt-get install crun');
    if (created.json.Id === undefined) return;
    expect((await inspect(daemon, created.json.Id)).State).toMatchObject({ Running: false, Pid: 0 });
    await daemon.api.expect('DELETE', `/containers/${created.json.Id}`, { status: 204 });
  });

  test('a runtime that was asked for: the request is refused, or its start is', async () => {
    await using daemon = await startDaemon({ args: ['--add-runtime', 'gone=/no/such/runtime'] });
    const unknown = await daemon.api.post('/containers/create', { Image: 'busybox', HostConfig: { Runtime: 'never-heard-of' } });
    expect(unknown.status).toBe(400);
    expect(unknown.text).toContain('never-heard-of');
    const id = await create(daemon, sh('true', { HostConfig: { Runtime: 'gone' } }));
    const refused = await daemon.api.post(`/containers/${id}/start`);
    expect(refused.status).toBeGreaterThanOrEqual(400);
    expect(refused.text).toContain('/no/such/runtime');
    expect(readdirSync(join(daemon.execRoot, 'containers'))).toEqual([]);
  });

  test('tini: --init says so', async () => {
    await using daemon = await startDaemon({ env: await pathWithout('tini', 'tini-static', 'docker-init') });
    const refused = await daemon.api.post<{ Id?: string }>('/containers/create', {
      Image: 'busybox',
      Cmd: ['true'],
      HostConfig: { Init: true },
    });
    const answer = refused.json.Id === undefined ? refused : await daemon.api.post(`/containers/${refused.json.Id}/start`);
    expect(answer.status).toBeGreaterThanOrEqual(400);
    expect(answer.text).toMatch(/tini/);
  });
});
