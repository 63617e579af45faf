import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'bun:test';
import { mount, unmount } from '#host/sys/mount.ts';
import { buildOk } from '#test/helpers/build.ts';
import { create, inspect, outputOf, remove, sh, sharedDaemon, start, waiting } from '#test/helpers/containers.ts';
import { tempFolder } from '#test/helpers/daemon.ts';
import { mountsBelow } from '#test/helpers/machine.ts';
import { needs } from '#test/helpers/needs.ts';

const { describe, test } = needs('root', 'conmon', 'nft');

interface Volume {
  readonly Name: string;
  readonly Driver: string;
  readonly Mountpoint: string;
  readonly Labels: Readonly<Record<string, string>> | null;
  readonly Scope: string;
}

describe('volumes', () => {
  const daemon = sharedDaemon();
  const list = async (filters: object = {}): Promise<string[]> => {
    const { Volumes } = await daemon().api.expect<{ Volumes: Volume[] | null }>(
      'GET',
      `/volumes?filters=${encodeURIComponent(JSON.stringify(filters))}`,
    );
    return (Volumes ?? []).map(({ Name }) => Name).toSorted();
  };

  test('create, inspect, list, remove; creating it again is fine', async () => {
    const volume = await daemon().api.expect<Volume>('POST', '/volumes/create', {
      body: { Name: 'data', Labels: { a: 'b' } },
      status: 201,
    });
    expect(volume).toMatchObject({ Name: 'data', Driver: 'local', Scope: 'local', Labels: { a: 'b' } });
    expect((await daemon().api.expect<Volume>('POST', '/volumes/create', { body: { Name: 'data' } })).Name).toBe('data');
    expect(await daemon().api.expect<Volume>('GET', '/volumes/data')).toMatchObject({ Name: 'data', Mountpoint: volume.Mountpoint });
    expect(await list({ label: ['a=b'] })).toEqual(['data']);
    expect(await list({ name: ['dat'] })).toEqual(['data']);
    expect(await list({ dangling: ['true'] })).toEqual(['data']);
    await daemon().api.expect('DELETE', '/volumes/data', { status: 204 });
    expect((await daemon().api.get('/volumes/data')).status).toBe(404);
    expect((await daemon().api.delete('/volumes/data')).status).toBe(404);
    expect((await daemon().api.delete('/volumes/data?force=1')).status).toBe(204);
  });

  test('what a container writes, another reads', async () => {
    const mount = { HostConfig: { Binds: ['shared:/data'] } };
    await outputOf(daemon(), 'echo kept >/data/file', mount);
    expect(await outputOf(daemon(), 'cat /data/file', mount)).toBe('kept');
    expect(await outputOf(daemon(), 'echo x 2>/dev/null >/data/file || echo refused', { HostConfig: { Binds: ['shared:/data:ro'] } })).toBe(
      'refused',
    );
    await daemon().api.expect('DELETE', '/volumes/shared', { status: 204 });
  });

  test('a used volume cannot be removed', async () => {
    const id = await create(daemon(), sh('true', { HostConfig: { Binds: ['used:/data'] } }));
    const refused = await daemon().api.call<{ message: string }>('DELETE', '/volumes/used');
    expect(refused.status).toBe(409);
    expect(refused.json.message).toContain('volume is in use');
    await remove(daemon(), id);
    await daemon().api.expect('DELETE', '/volumes/used', { status: 204 });
  });

  test('an anonymous volume goes with rm -v, a named one stays', async () => {
    const id = await create(daemon(), sh('true', { Volumes: { '/anonymous': {} }, HostConfig: { Binds: ['named:/named'] } }));
    const names = (await inspect(daemon(), id)).Mounts.map(({ Name }) => Name ?? '');
    expect(names.length).toBe(2);
    await remove(daemon(), id);
    expect(await list()).toEqual(['named']);
    await daemon().api.expect('DELETE', '/volumes/named', { status: 204 });
  });

  test('a new volume gets what the image has there, with owner and mode', async () => {
    const mount = { HostConfig: { Mounts: [{ Type: 'volume', Source: 'copied', Target: '/etc' }] } };
    expect(await outputOf(daemon(), 'head -n 1 /etc/passwd', mount)).toStartWith('root:');
    expect(await outputOf(daemon(), 'head -n 1 /mnt/passwd', { HostConfig: { Binds: ['copied:/mnt'] } })).toStartWith('root:');
    expect(
      await outputOf(daemon(), 'ls /home | wc -l', {
        HostConfig: { Mounts: [{ Type: 'volume', Source: 'empty', Target: '/home', VolumeOptions: { NoCopy: true } }] },
      }),
    ).toBe('0');
    for (const name of ['copied', 'empty']) await daemon().api.expect('DELETE', `/volumes/${name}`, { status: 204 });
  });

  test('what a volume gets from the image is the same in everything: owners, modes, times, links, attributes, kinds of files', async () => {
    const context = {
      Dockerfile: [
        'FROM busybox',
        'RUN mkdir -p /data/sub && echo a >/data/sub/a && chown -R 7:8 /data && chmod 2750 /data && chmod 4711 /data/sub/a && touch -d "2001-02-03 04:05:06" /data/sub/a',
        'RUN ln -s sub/a /data/symlink && ln /data/sub/a /data/hard && mkfifo -m 620 /data/fifo && touch -d "2002-02-03 04:05:06" /data/sub /data',
        'VOLUME /data',
      ].join('\n'),
    };
    await buildOk(daemon().api, context, { t: 'filled:1' });
    const look = 'cd /data; for f in . sub sub/a symlink hard fifo; do stat -c "%n %F %a %u:%g %h %Y" $f; done; cat hard; readlink symlink';
    const image = { Image: 'filled:1', HostConfig: { Mounts: [{ Type: 'tmpfs', Target: '/elsewhere' }] } };
    const seen = await outputOf(daemon(), look, image);
    const kept = ['. directory 2750 7:8', 'sub/a regular file 4711 7:8 2 981173106', 'hard regular file 4711 7:8 2', 'fifo fifo 620'];
    for (const words of kept) expect(seen).toContain(words);
    const named = { Image: 'filled:1', HostConfig: { Binds: ['kept:/data'] } };
    expect(await outputOf(daemon(), look, named)).toBe(seen);
    expect(await outputOf(daemon(), 'ls -A /data', { Image: 'filled:1', HostConfig: { Binds: ['bare:/data:nocopy'] } })).toBe('');
    for (const name of ['kept', 'bare']) await daemon().api.expect('DELETE', `/volumes/${name}`, { status: 204 });
    await daemon().api.expect('DELETE', '/images/filled:1');
    expect(await list()).toEqual([]);
  });

  test('a volume with a device is mounted by its first container and unmounted by its last, whatever becomes of the daemon', async () => {
    await using folder = await tempFolder();
    await Bun.write(`${folder.path}/file`, 'bound');
    const options = {
      memory: { type: 'tmpfs', device: 'tmpfs', o: 'size=1m,uid=1000' },
      bound: { type: 'none', device: folder.path, o: 'bind,ro' },
      nowhere: { type: 'none', device: `${folder.path}/missing`, o: 'bind' },
      remote: { type: 'nfs', device: ':/export', o: 'addr=localhost,nolock' },
      unknown: { type: 'nfs', device: ':/export', o: 'addr=no-such-host.invalid' },
    };
    for (const [Name, DriverOpts] of Object.entries(options))
      await daemon().api.expect('POST', '/volumes/create', { body: { Name, DriverOpts } });
    const mounts = (): string[] =>
      mountsBelow(join(daemon().dataRoot, 'volumes')).map(text => text.replace(/.*volumes\/([^/]+)\/_data.*/, '$1'));
    const binds = { HostConfig: { Binds: ['memory:/m', 'bound:/b'] } };
    const [one, two] = [await start(daemon(), waiting(binds)), await start(daemon(), waiting(binds))];
    expect(mounts().toSorted()).toEqual(['bound', 'memory']);
    await daemon().kill();
    await daemon().start();
    await remove(daemon(), one);
    expect(mounts().toSorted()).toEqual(['bound', 'memory']);
    expect(
      await outputOf(
        daemon(),
        'stat -c %u /m; cat /b/file; touch /b/x 2>/dev/null || echo frozen; df -k /m | awk "END {print \\$2}"',
        binds,
      ),
    ).toBe('1000\nboundfrozen\n1024');
    await remove(daemon(), two);
    expect(mounts()).toEqual([]);
    const failure = async (name: string): Promise<string> => {
      const id = await create(daemon(), sh('true', { HostConfig: { Binds: [`${name}:/x:nocopy`] } }));
      const { json } = await daemon().api.call<{ message: string }>('POST', `/containers/${id}/start`);
      await remove(daemon(), id);
      return json.message;
    };
    expect(await failure('nowhere')).toContain(`failed to mount local volume nowhere: mount ${folder.path}/missing:`);
    expect(await failure('unknown')).toContain("error resolving the address of a volume's server: no-such-host.invalid");
    if (!readFileSync('/proc/filesystems', 'utf8').includes('\tnfs\n'))
      expect(await failure('remote')).toContain('this kernel does not know the file system type');
    expect(mounts()).toEqual([]);
    for (const name of Object.keys(options)) await daemon().api.expect('DELETE', `/volumes/${name}`, { status: 204 });
    expect(await Bun.file(`${folder.path}/file`).text()).toBe('bound');
  });

  test('bind with --mount needs its source', async () => {
    await using folder = await tempFolder();
    const mount = (Source: string) => ({ Image: 'busybox', HostConfig: { Mounts: [{ Type: 'bind', Source, Target: '/data' }] } });
    const refused = await daemon().api.post<{ message: string }>('/containers/create', mount(`${folder.path}/missing`));
    expect(refused.status).toBe(400);
    expect(refused.json.message).toContain('bind source path does not exist');
    await Bun.write(`${folder.path}/there`, 'there');
    expect(await outputOf(daemon(), 'cat /data', mount(`${folder.path}/there`))).toBe('there');
  });

  test('bind-recursive says what becomes of mounts below a bind', async () => {
    await using folder = await tempFolder();
    mkdirSync(`${folder.path}/sub`);
    mount('tmpfs', `${folder.path}/sub`, 'tmpfs');
    try {
      await Bun.write(`${folder.path}/sub/inside`, 'x');
      const look = async (readOnly: boolean, BindOptions: object): Promise<string> =>
        await outputOf(
          daemon(),
          'ls /d/sub; for f in /d/x /d/sub/x; do touch $f 2>/dev/null && rm $f && echo writable || echo frozen; done',
          {
            HostConfig: { Mounts: [{ Type: 'bind', Source: folder.path, Target: '/d', ReadOnly: readOnly, BindOptions }] },
          },
        );
      expect(await look(false, {})).toBe('inside\nwritable\nwritable');
      expect(await look(false, { NonRecursive: true })).toBe('writable\nwritable');
      expect(await look(true, { NonRecursive: true })).toBe('frozen\nfrozen');
      expect(await look(true, {})).toBe('inside\nfrozen\nfrozen');
      expect(await look(true, { ReadOnlyNonRecursive: true })).toBe('inside\nfrozen\nwritable');
      expect(await look(true, { ReadOnlyForceRecursive: true, Propagation: 'rprivate' })).toBe('inside\nfrozen\nfrozen');
    } finally {
      unmount(`${folder.path}/sub`);
    }
  });

  test('tmpfs and read-only mounts', async () => {
    const mounts = [
      { Type: 'tmpfs', Target: '/scratch', TmpfsOptions: { SizeBytes: 1048576, Mode: 0o700 } },
      { Type: 'volume', Source: 'frozen', Target: '/frozen', ReadOnly: true },
    ];
    const script = 'stat -c %a /scratch; df -k /scratch | tail -n 1 | awk "{print \\$2}"; touch /frozen/x 2>/dev/null || echo refused';
    expect(await outputOf(daemon(), script, { HostConfig: { Mounts: mounts } })).toBe('700\n1024\nrefused');
    await daemon().api.expect('DELETE', '/volumes/frozen', { status: 204 });
  });

  test('bad names and paths are refused', async () => {
    expect((await daemon().api.post('/volumes/create', { Name: '../escape' })).status).toBe(400);
    expect((await daemon().api.post('/volumes/create', { Name: 'x', Driver: 'nonsense' })).status).toBeGreaterThanOrEqual(400);
    for (const Binds of [['name:relative'], ['name:/data:nonsense'], ['/:'], ['a:b:c:d']]) {
      expect((await daemon().api.post('/containers/create', { Image: 'busybox', HostConfig: { Binds } })).status).toBe(400);
    }
    const twice = [
      { Type: 'tmpfs', Target: '/same' },
      { Type: 'tmpfs', Target: '/same' },
    ];
    const refused = await daemon().api.post<{ message: string }>('/containers/create', { Image: 'busybox', HostConfig: { Mounts: twice } });
    expect(refused.status).toBe(400);
    expect(refused.json.message).toContain('Duplicate mount point: /same');
  });

  test('a file is mounted read-only, by either runtime', async () => {
    for (const Runtime of ['crun', 'runc'].filter(name => Bun.which(name) !== null)) {
      for (const more of [
        { Binds: ['/etc/hostname:/file:ro'] },
        { Mounts: [{ Type: 'bind', Source: '/etc/hostname', Target: '/file', ReadOnly: true }] },
      ])
        expect(await outputOf(daemon(), 'cat /file; ! echo x 2>/dev/null >/file', { HostConfig: { Runtime, ...more } })).toBe(
          readFileSync('/etc/hostname', 'utf8').trim(),
        );
    }
  });
});
