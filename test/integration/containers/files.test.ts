import { expect } from 'bun:test';
import { readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { create, execIn, inspect, outputOf, remove, sh, sharedDaemon, start, waiting } from '#test/helpers/containers.ts';
import { type TestDaemon, tempFolder } from '#test/helpers/daemon.ts';
import { eventually } from '#test/helpers/eventually.ts';
import { mountsBelow, processesNaming } from '#test/helpers/machine.ts';
import { needs } from '#test/helpers/needs.ts';
import { readAll, readTar } from '#oci/tar/reader.ts';
import { type NewTarFile, writeTar } from '#oci/tar/writer.ts';

const { describe, test } = needs('root', 'conmon', 'nft');

async function tarOf(...files: NewTarFile[]): Promise<Uint8Array<ArrayBuffer>> {
  const parts: Uint8Array[] = [];
  for await (const part of writeTar(files)) parts.push(part.slice());
  return new Uint8Array(Buffer.concat(parts));
}

const file = (name: string, content: string, more: Partial<NewTarFile['entry']> = {}): NewTarFile => ({
  entry: { name, ...more },
  content: Buffer.from(content),
});

const put = async (daemon: TestDaemon, id: string, path: string, tar: Uint8Array<ArrayBuffer>, query = ''): Promise<[number, string]> => {
  const { status, text } = await daemon.api.call('PUT', `/containers/${id}/archive?path=${path}${query}`, { raw: tar });
  return [status, text.trim()];
};

async function get(daemon: TestDaemon, path: string): Promise<Map<string, string>> {
  const response = await daemon.api.open('GET', path);
  if (response.status !== 200) throw new Error(`${path} answered ${String(response.status)}: ${await response.text()}`);
  const found = new Map<string, string>();
  for await (const { entry, content } of readTar(response.body ?? new Blob([]).stream())) {
    found.set(entry.name, Buffer.from(await readAll(content)).toString());
  }
  return found;
}

interface PathStat {
  readonly name: string;
  readonly size: number;
  readonly mode: number;
  readonly mtime: string;
  readonly linkTarget: string;
}

const statOf = (headers: Headers): PathStat =>
  JSON.parse(Buffer.from(headers.get('x-docker-container-path-stat') ?? '', 'base64').toString()) as PathStat;

describe('archive', () => {
  const daemon = sharedDaemon();

  test('HEAD and GET tell what a path is, with the mode bits of Go', async () => {
    const id = await start(
      daemon(),
      sh('mkdir -m 1777 /d; echo hello > /d/f; chmod 4750 /d/f; ln -s f /d/l; touch -d @1600000000 /d/f; exec sleep 1000'),
    );
    await eventually('the files are made', async () => (await execIn(daemon(), id, ['test', '-L', '/d/l'])).exitCode === 0);
    const head = await daemon().api.call('HEAD', `/containers/${id}/archive?path=/d/f`);
    expect([head.status, head.text]).toEqual([200, '']);
    expect(statOf(head.headers)).toEqual({ name: 'f', size: 6, mode: 2 ** 23 + 0o750, mtime: '2020-09-13T12:26:40Z', linkTarget: '' });
    const got = await daemon().api.open('GET', `/containers/${id}/archive?path=/d`);
    expect(got.headers.get('content-type')).toBe('application/x-tar');
    expect(statOf(got.headers)).toMatchObject({ name: 'd', mode: 2 ** 31 + 2 ** 20 + 0o777 });
    await got.arrayBuffer();
    expect(statOf((await daemon().api.call('HEAD', `/containers/${id}/archive?path=/d/l`)).headers)).toMatchObject({
      name: 'l',
      mode: 2 ** 27 + 0o777,
      linkTarget: '/d/f',
    });
    expect([...(await get(daemon(), `/containers/${id}/archive?path=/d`)).entries()]).toEqual([
      ['d', ''],
      ['d/f', 'hello\n'],
      ['d/l', ''],
    ]);
    const missing = await daemon().api.get(`/containers/${id}/archive?path=/nosuch`);
    expect([missing.status, missing.json]).toEqual([404, { message: `Could not find the file /nosuch in container ${id}` }]);
    expect((await daemon().api.call('HEAD', `/containers/${id}/archive?path=/nosuch`)).status).toBe(404);
    expect((await daemon().api.get(`/containers/${id}/archive`)).status).toBe(400);
    expect((await daemon().api.get('/containers/nosuch/archive?path=/')).status).toBe(404);
    await remove(daemon(), id);
  });

  test('a running container and a stopped one are read alike: root, volumes, binds, network files', async () => {
    await using folder = await tempFolder();
    writeFileSync(join(folder.path, 'from-host'), 'host');
    const id = await start(
      daemon(),
      waiting({ Volumes: { '/vol': {} }, HostConfig: { Binds: [`${folder.path}:/bind:ro`], Tmpfs: { '/tmpfs': '' } } }),
    );
    await execIn(daemon(), id, ['sh', '-c', 'echo v > /vol/f; echo r > /root/f; echo t > /tmpfs/f']);
    const read = async (path: string): Promise<string[]> => [...(await get(daemon(), `/containers/${id}/archive?path=${path}`)).values()];
    const all = async (): Promise<string[][]> => await Promise.all(['/vol/f', '/root/f', '/bind/from-host', '/etc/hostname'].map(read));
    const running = await all();
    expect(running.slice(0, 3)).toEqual([['v\n'], ['r\n'], ['host']]);
    expect(running[3]).toEqual([`${id.slice(0, 12)}\n`]);
    expect(await read('/tmpfs/f')).toEqual(['t\n']);
    await daemon().api.expect('POST', `/containers/${id}/pause`);
    expect(await all()).toEqual(running);
    await daemon().api.expect('POST', `/containers/${id}/unpause`);
    await daemon().api.expect('POST', `/containers/${id}/stop`);
    expect(await all()).toEqual(running);
    expect(mountsBelow(daemon().folder).filter(mount => mount.includes('/merged'))).toEqual([]);
    await remove(daemon(), id);
  });

  test('PUT unpacks into a directory that is there, compressed or not', async () => {
    const id = await start(daemon(), waiting());
    const tar = await tarOf(file('a', 'one', { mode: 0o600, uid: 12, gid: 34 }), file('sub/b', 'two'));
    const pack = async (...command: string[]): Promise<Uint8Array<ArrayBuffer>> =>
      new Uint8Array(await new Response(Bun.spawn(command, { stdin: tar, stdout: 'pipe' }).stdout).arrayBuffer());
    const forms = {
      plain: tar,
      gzip: Bun.gzipSync(tar),
      zstd: Bun.zstdCompressSync(tar),
      xz: await pack('xz', '-c'),
      bzip2: await pack('bzip2', '-c'),
    };
    for (const [name, bytes] of Object.entries(forms)) {
      await execIn(daemon(), id, ['mkdir', `/${name}`]);
      expect(await put(daemon(), id, `/${name}`, new Uint8Array(bytes))).toEqual([200, '']);
      expect((await execIn(daemon(), id, ['sh', '-c', `cd /${name}; cat a sub/b; stat -c '%u %g %a' a`])).stdout).toBe('onetwo12 34 600\n');
    }
    expect(await put(daemon(), id, '/nosuch', tar)).toEqual([404, `{"message":"Could not find the file /nosuch in container ${id}"}`]);
    expect(await put(daemon(), id, '/plain/a', tar)).toEqual([400, '{"message":"extraction point is not a directory"}']);
    const directory = await tarOf({ entry: { name: 'a', type: 'directory' } });
    expect((await put(daemon(), id, '/plain', directory, '&noOverwriteDirNonDir=1'))[0]).toBe(400);
    expect((await put(daemon(), id, '/plain', directory))[0]).toBe(200);
    expect((await put(daemon(), id, '/plain', new Uint8Array(Buffer.from('no archive'.repeat(100)))))[0]).toBe(400);
    await remove(daemon(), id);
  });

  test('copyUIDGID gives everything to the container’s own user, as its passwd file has it', async () => {
    const id = await create(daemon(), waiting({ User: 'someone' }));
    await put(daemon(), id, '/etc', await tarOf(file('passwd', 'someone:x:1234:2345::/:/bin/sh\n')));
    await put(daemon(), id, '/tmp', await tarOf(file('mine', 'x', { uid: 7 })), '&copyUIDGID=1');
    await put(daemon(), id, '/tmp', await tarOf(file('theirs', 'x', { uid: 7, gid: 8 })));
    await daemon().api.expect('POST', `/containers/${id}/start`);
    expect((await execIn(daemon(), id, ['stat', '-c', '%u %g', '/tmp/mine', '/tmp/theirs'])).stdout).toBe('1234 2345\n7 8\n');
    await remove(daemon(), id);
  });

  test('where a container may not write, nobody does for it', async () => {
    const body = waiting({ HostConfig: { ReadonlyRootfs: true, Binds: ['files-ro:/ro:ro', 'files-rw:/rw'], Tmpfs: { '/tmp': '' } } });
    const id = await start(daemon(), body);
    const tar = await tarOf(file('x', 'y'));
    for (const state of ['running', 'stopped']) {
      if (state === 'stopped') await daemon().api.expect('POST', `/containers/${id}/stop`);
      expect(await put(daemon(), id, '/', tar)).toEqual([400, '{"message":"container rootfs is marked read-only"}']);
      expect(await put(daemon(), id, '/ro', tar)).toEqual([400, '{"message":"mounted volume is marked read-only"}']);
      expect((await put(daemon(), id, '/rw', tar))[0]).toBe(200);
      expect((await put(daemon(), id, '/tmp', tar))[0]).toBe(state === 'running' ? 200 : 400);
    }
    await remove(daemon(), id);
    for (const name of ['files-ro', 'files-rw']) await daemon().api.expect('DELETE', `/volumes/${name}`);
  });

  test('a container that plays with links and mounts gets nobody to leave it', async () => {
    await using folder = await tempFolder();
    writeFileSync(join(folder.path, 'secret'), 'secret');
    const script = `ln -s ${folder.path} /out; ln -s /proc/1/root${folder.path} /proc-out; while :; do mkdir -p /a/b; rm -rf /a/b; ln -s ${folder.path} /a/b; rm -f /a/b; done`;
    const id = await start(daemon(), sh(script, { HostConfig: { PidMode: 'host', CapAdd: ['ALL'] } }));
    for (const path of [`/out/secret`, `/proc-out/secret`, `/proc/1/root${folder.path}/secret`, `/proc/self/root${folder.path}/secret`]) {
      expect((await daemon().api.get(`/containers/${id}/archive?path=${path}`)).status).toBeOneOf([400, 404]);
    }
    const tar = await tarOf(file('b/x', 'bad'), file('b/secret', 'bad'));
    for (let round = 0; round < 10; round += 1) {
      await put(daemon(), id, '/a', tar);
      await daemon().api.call('GET', `/containers/${id}/archive?path=/a/b`);
    }
    for (const path of ['/out', '/proc-out', `/proc/1/root${folder.path}`]) await put(daemon(), id, path, tar);
    expect(readdirSync(folder.path)).toEqual(['secret']);
    expect(readFileSync(join(folder.path, 'secret'), 'utf8')).toBe('secret');
    await remove(daemon(), id);
  });

  test('a bind to the host does not let links out of it either', async () => {
    await using folder = await tempFolder();
    writeFileSync(join(folder.path, 'secret'), 'secret');
    await using bound = await tempFolder();
    symlinkSync(folder.path, join(bound.path, 'out'));
    const id = await create(daemon(), waiting({ HostConfig: { Binds: [`${bound.path}:/bound`] } }));
    expect((await daemon().api.get(`/containers/${id}/archive?path=/bound/out/secret`)).status).toBe(404);
    await put(daemon(), id, '/bound', await tarOf(file('out/secret', 'bad')));
    expect(readFileSync(join(folder.path, 'secret'), 'utf8')).toBe('secret');
    await remove(daemon(), id);
  });

  test('a client that leaves takes its work along; a removal ends it', async () => {
    const id = await start(daemon(), waiting());
    await execIn(daemon(), id, ['truncate', '-s', '4G', '/big']);
    const workers = (): string[] => processesNaming('internal-files').filter(line => line.includes(String(daemon().pid)));
    for (const path of [`/containers/${id}/archive?path=/big`, `/containers/${id}/export`]) {
      const stop = new AbortController();
      const response = await daemon().api.open('GET', path, { signal: stop.signal });
      await response.body?.getReader().read();
      expect(workers()).toHaveLength(1);
      stop.abort();
      await eventually('its process has gone', () => workers().length === 0);
    }
    await daemon().api.expect('POST', `/containers/${id}/stop`);
    await eventually('the root is unmounted', () => mountsBelow(daemon().folder).every(mount => !mount.includes('/merged')));
    const response = await daemon().api.open('GET', `/containers/${id}/archive?path=/big`);
    const reader = response.body?.getReader();
    await reader?.read();
    await daemon().api.expect('DELETE', `/containers/${id}`, { status: 204 });
    const rest = (async () => {
      while ((await reader?.read())?.done === false);
    })();
    expect(
      await rest.then(
        () => 'all of it',
        () => 'broken off',
      ),
    ).toBe('broken off');
    await eventually('its process has gone', () => workers().length === 0);
  });

  test('a container starts and stops while its files are read, and its root stays in one piece', async () => {
    const id = await create(daemon(), sh('echo $RANDOM >> /log; echo ready; exec sleep 1000'));
    await put(daemon(), id, '/', await tarOf(file('large', 'x'.repeat(8_000_000))));
    const response = await daemon().api.open('GET', `/containers/${id}/archive?path=/large`);
    const reader = response.body?.getReader();
    await reader?.read();
    for (let round = 0; round < 3; round += 1) {
      await daemon().api.expect('POST', `/containers/${id}/start`, { status: 204 });
      await daemon().api.expect('POST', `/containers/${id}/kill`, { status: 204 });
    }
    expect((await inspect(daemon(), id)).State.Status).toBe('exited');
    while ((await reader?.read())?.done === false);
    await eventually('the root is unmounted', () => mountsBelow(daemon().folder).every(mount => !mount.includes('/merged')));
    await remove(daemon(), id);
  });
});

describe('changes and export', () => {
  const daemon = sharedDaemon();

  test('changes are told of running and stopped containers', async () => {
    const id = await start(daemon(), sh('rm /bin/vi; echo x > /etc/motd; mkdir -p /new/sub; chmod 755 /root; exec sleep 1000'));
    const changes = async (): Promise<unknown> => await daemon().api.expect('GET', `/containers/${id}/changes`);
    const expected = [
      { Path: '/bin', Kind: 0 },
      { Path: '/bin/vi', Kind: 2 },
      { Path: '/etc', Kind: 0 },
      { Path: '/etc/motd', Kind: 1 },
      { Path: '/new', Kind: 1 },
      { Path: '/new/sub', Kind: 1 },
      { Path: '/root', Kind: 0 },
    ];
    await eventually('the last of the changes is there', async () => JSON.stringify(await changes()).includes('/root'));
    expect(await changes()).toEqual(expected);
    await daemon().api.expect('POST', `/containers/${id}/kill`);
    expect(await changes()).toEqual(expected);
    await remove(daemon(), id);
    const fresh = await create(daemon(), waiting());
    expect(await daemon().api.expect<unknown>('GET', `/containers/${fresh}/changes`)).toEqual([]);
    await remove(daemon(), fresh);
  });

  test('/etc/mtab leads to what is mounted, is nobody’s change, and stays what the container makes of it', async () => {
    const id = await start(daemon(), waiting());
    expect((await execIn(daemon(), id, ['readlink', '/etc/mtab'])).stdout).toBe('/proc/mounts\n');
    expect(await daemon().api.expect<unknown>('GET', `/containers/${id}/changes`)).toEqual([]);
    await execIn(daemon(), id, ['sh', '-c', 'rm /etc/mtab; echo mine >/etc/mtab']);
    await daemon().api.expect('POST', `/containers/${id}/restart?t=1`);
    expect((await execIn(daemon(), id, ['cat', '/etc/mtab'])).stdout).toBe('mine\n');
    await remove(daemon(), id);
    expect(await outputOf(daemon(), 'readlink /etc/mtab', { HostConfig: { ReadonlyRootfs: true } })).toBe('/proc/mounts');
  });

  test('an export has the root without what is mounted in it, and imports again', async () => {
    const id = await start(daemon(), waiting({ Volumes: { '/vol': {} }, HostConfig: { Tmpfs: { '/tmp': '' } } }));
    await execIn(daemon(), id, ['sh', '-c', 'echo v > /vol/f; echo t > /tmp/f; echo mine > /mine']);
    const members = await get(daemon(), `/containers/${id}/export`);
    expect([members.get('mine'), members.has('vol'), members.has('vol/f'), members.has('tmp/f'), members.has('bin/sh')]).toEqual([
      'mine\n',
      true,
      false,
      false,
      true,
    ]);
    const response = await daemon().api.open('GET', `/containers/${id}/export`);
    expect(response.headers.get('content-type')).toBe('application/octet-stream');
    const raw = new Blob([await response.arrayBuffer()]);
    await daemon().api.expect('POST', '/images/create?fromSrc=-&repo=exported&tag=1', { raw });
    expect(await outputOf(daemon(), 'cat /mine', { Image: 'exported:1' })).toBe('mine');
    await daemon().api.expect('DELETE', '/images/exported:1');
    await remove(daemon(), id);
  });
});

interface ImageInspect {
  readonly Id: string;
  readonly Parent: string;
  readonly Author: string;
  readonly Comment: string;
  readonly Config: Readonly<Record<string, unknown>>;
  readonly RootFS: { readonly Layers: readonly string[] };
}

describe('commit', () => {
  const daemon = sharedDaemon();
  const image = async (name: string): Promise<ImageInspect> => await daemon().api.expect('GET', `/images/${name}/json`);

  test('makes an image with the container’s files, configuration and changes', async () => {
    const body = sh('echo data > /data; rm -rf /home; exec sleep 1000', {
      Env: ['A=1', 'B=2'],
      Labels: { one: '1' },
      WorkingDir: '/tmp',
      ExposedPorts: { '80/tcp': {} },
    });
    const id = await start(daemon(), body);
    await eventually('the file is there', async () => (await execIn(daemon(), id, ['test', '!', '-e', '/home'])).exitCode === 0);
    const changes = [
      'ENV A=x C="a b"',
      'LABEL two=2',
      'EXPOSE 81',
      'WORKDIR sub',
      'CMD cat /data',
      'USER 1000',
      'VOLUME /v',
      'STOPSIGNAL SIGINT',
      'ONBUILD RUN true',
    ];
    const query = new URLSearchParams({ container: id, repo: 'made', tag: '1', author: 'me', comment: 'words' });
    for (const change of changes) query.append('changes', change);
    const { Id } = await daemon().api.expect<{ Id: string }>('POST', `/commit?${query.toString()}`, { status: 201 });
    const [made, base] = [await image('made:1'), await image('busybox')];
    expect(made).toMatchObject({ Id, Parent: base.Id, Author: 'me', Comment: 'words' });
    expect(made.RootFS.Layers).toHaveLength(base.RootFS.Layers.length + 1);
    expect(made.Config).toMatchObject({
      Env: expect.arrayContaining(['A=x', 'B=2', 'C=a b']) as unknown,
      Labels: { one: '1', two: '2' },
      ExposedPorts: { '80/tcp': {}, '81/tcp': {} },
      WorkingDir: '/tmp/sub',
      Cmd: ['/bin/sh', '-c', 'cat /data'],
      User: '1000',
      Volumes: { '/v': {} },
      StopSignal: 'SIGINT',
      OnBuild: ['RUN true'],
    });
    expect((await inspect(daemon(), id)).State.Status).toBe('running');
    expect(await outputOf(daemon(), 'cat /data; ls -d /home 2>&1; echo $C', { Image: 'made:1' })).toBe(
      'data\nls: /home: No such file or directory\na b',
    );
    const history = await daemon().api.expect<{ Id: string; CreatedBy: string; Comment: string; Tags: string[] | null }[]>(
      'GET',
      '/images/made:1/history',
    );
    expect(history[0]).toMatchObject({ Id, Comment: 'words', Tags: ['made:1'] });
    expect(history[0]?.CreatedBy).toStartWith('sh -c echo data');
    expect(history[1]?.Id).toBe(base.Id);
    await daemon().api.expect('DELETE', '/images/made:1');
    await remove(daemon(), id);
  });

  test('without changes there is no layer; the same files give the same layer', async () => {
    const id = await create(daemon(), waiting());
    const commit = async (query = ''): Promise<string> =>
      (await daemon().api.expect<{ Id: string }>('POST', `/commit?container=${id}${query}`, { status: 201 })).Id;
    const base = await image('busybox');
    const empty = await image(await commit());
    expect(empty.RootFS.Layers).toEqual(base.RootFS.Layers);
    await put(daemon(), id, '/', await tarOf(file('x', 'y', { mtime: { seconds: 1_600_000_000, nanoseconds: 5 } })));
    const [first, second] = [await image(await commit()), await image(await commit('&comment=again'))];
    expect(first.RootFS.Layers).toEqual(second.RootFS.Layers);
    expect(first.Id).not.toBe(second.Id);
    for (const each of [empty, first, second]) await daemon().api.expect('DELETE', `/images/${each.Id}`);
    await remove(daemon(), id);
  });

  test('an entrypoint that changes takes the command away; a body replaces the configuration', async () => {
    const id = await create(daemon(), { Cmd: ['old'], Env: ['A=1'] });
    const commit = async (query: string, body?: object): Promise<Readonly<Record<string, unknown>>> => {
      const { Id } = await daemon().api.expect<{ Id: string }>('POST', `/commit?container=${id}${query}`, {
        status: 201,
        body: body ?? null,
      });
      const { Config } = await image(Id);
      await daemon().api.expect('DELETE', `/images/${Id}`);
      return Config;
    };
    expect(await commit(`&changes=${encodeURIComponent('ENTRYPOINT ["/new"]')}`)).toMatchObject({ Entrypoint: ['/new'], Cmd: null });
    const both = `&changes=${encodeURIComponent('CMD ["c"]')}&changes=${encodeURIComponent('ENTRYPOINT ["/new"]')}`;
    expect(await commit(both)).toMatchObject({ Entrypoint: ['/new'], Cmd: ['c'] });
    expect(await commit('', { Cmd: ['other'], Labels: { x: 'y' } })).toMatchObject({
      Cmd: ['other'],
      Labels: { x: 'y' },
      Env: expect.arrayContaining(['A=1']) as unknown,
    });
    await remove(daemon(), id);
  });

  test('bad requests change nothing', async () => {
    const id = await start(daemon(), waiting());
    const since = Math.floor(Date.now() / 1000);
    const bad: readonly (readonly [string, number, string])[] = [
      ['container=nosuch', 404, 'No such container: nosuch'],
      [`container=${id}&changes=RUN%20x`, 400, 'RUN is not a valid change command'],
      [`container=${id}&changes=FOO%20x`, 400, 'FOO is not a valid change command'],
      [`container=${id}&repo=BAD`, 400, 'invalid reference format: repository name (library/BAD) must be lowercase'],
    ];
    for (const [query, status, message] of bad) {
      const answer = await daemon().api.call('POST', `/commit?${query}`);
      expect([answer.status, answer.json]).toEqual([status, { message }]);
    }
    const query = `since=${String(since)}&until=${String(Math.ceil(Date.now() / 1000))}&filters=${JSON.stringify({ container: [id] })}`;
    const events = await (await daemon().api.open('GET', `/events?${query}`)).text();
    expect(events.includes('"pause"')).toBe(false);
    await remove(daemon(), id);
  });

  test('pauses a running container only while its files are read, and only when asked', async () => {
    const id = await start(daemon(), waiting());
    const actions = async (query: string): Promise<string[]> => {
      const since = String(Date.now() / 1000);
      const { Id } = await daemon().api.expect<{ Id: string }>('POST', `/commit?container=${id}&repo=p${query}`, { status: 201 });
      await daemon().api.expect('DELETE', `/images/${Id}?force=1`);
      const events = await (await daemon().api.open('GET', `/events?since=${since}&until=${String((Date.now() + 1) / 1000)}`)).text();
      return events
        .trim()
        .split('\n')
        .map(line => (JSON.parse(line) as { Action: string }).Action)
        .filter(action => action !== 'start');
    };
    expect(await actions('')).toEqual(['pause', 'unpause', 'tag', 'commit', 'untag', 'delete']);
    expect(await actions('&pause=0')).toEqual(['tag', 'commit', 'untag', 'delete']);
    expect((await inspect(daemon(), id)).State).toMatchObject({ Running: true, Paused: false });
    await daemon().api.expect('POST', `/containers/${id}/pause`);
    expect((await actions('')).slice(-4)).toEqual(['tag', 'commit', 'untag', 'delete']);
    expect((await inspect(daemon(), id)).State.Paused).toBe(true);
    await remove(daemon(), id);
  });
});
