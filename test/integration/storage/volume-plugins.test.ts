import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect } from 'bun:test';
import { create, outputOf, remove, sh, sharedDaemon, start, waiting } from '#test/helpers/containers.ts';
import { tempFolder } from '#test/helpers/daemon.ts';
import { eventually } from '#test/helpers/eventually.ts';
import { needs } from '#test/helpers/needs.ts';
import { startVolumePlugin, type VolumePlugin } from '#test/helpers/volume-plugin.ts';

const { describe, test } = needs('root', 'conmon', 'nft');

interface Volume {
  readonly Name: string;
  readonly Driver: string;
  readonly Mountpoint: string;
  readonly Scope: string;
  readonly Status?: Readonly<Record<string, unknown>>;
}

describe('volume plugins', () => {
  let folder: Awaited<ReturnType<typeof tempFolder>>;
  let plugin: VolumePlugin;
  // Before the daemon, which looks for whatever names its folder when it goes.
  afterAll(async () => {
    await plugin?.[Symbol.asyncDispose]();
    await folder?.[Symbol.asyncDispose]();
  });
  const daemon = sharedDaemon();
  beforeAll(async () => {
    folder = await tempFolder();
    plugin = await startVolumePlugin(join(daemon().execRoot, 'plugins/shelf.sock'), join(folder.path, 'shelf'));
  });
  const refusal = async (method: 'GET' | 'POST' | 'DELETE', path: string, body?: object): Promise<{ status: number; message: string }> => {
    const answer = await daemon().api.call<{ message: string }>(method, path, body === undefined ? {} : { body });
    return { status: answer.status, message: answer.json.message };
  };
  const mounting = (Source: string) => ({ HostConfig: { Mounts: [{ Type: 'volume', Source, Target: '/data' }] } });

  test('with the stock command line: create, inspect, list, use, remove', async () => {
    const docker = (...args: string[]) => daemon().dockerOk(...args);
    await docker('volume', 'create', '-d', 'shelf', '-o', 'width=3', '--label', 'a=b', 'books');
    expect(JSON.parse(readFileSync(join(plugin.folder, 'options-books.json'), 'utf8'))).toEqual({ width: '3' });
    const [inspected] = JSON.parse(await docker('volume', 'inspect', 'books')) as Volume[];
    expect(inspected).toMatchObject({
      Driver: 'shelf',
      Scope: 'global',
      Mountpoint: '',
      Status: { users: 0 },
      Labels: { a: 'b' },
      Options: { width: '3' },
    });
    expect(await docker('volume', 'ls', '--format', '{{.Driver}} {{.Name}}', '-f', 'driver=shelf')).toContain('shelf books');
    expect(await docker('info', '--format', '{{json .Plugins.Volume}}')).toContain('["local","shelf"]');
    await docker('run', '--rm', '-v', 'books:/data', 'busybox', 'sh', '-c', 'echo kept >/data/file');
    expect(readFileSync(join(plugin.folder, 'volumes/books/file'), 'utf8')).toBe('kept\n');
    expect(plugin.mounts()).toEqual([]);
    await docker('volume', 'rm', 'books');
    expect(plugin.volumes()).toEqual([]);
  });

  test('a volume made for a container gets what the image has there; anonymous ones go with it', async () => {
    const id = await create(daemon(), sh('true', { Volumes: { '/etc': {} }, HostConfig: { VolumeDriver: 'shelf' } }));
    const [name = ''] = plugin.volumes();
    expect(existsSync(join(plugin.folder, 'volumes', name, 'passwd'))).toBe(true);
    await remove(daemon(), id);
    expect([plugin.volumes(), plugin.mounts()]).toEqual([[], []]);
  });

  test('each running container is told to it, also by the daemon after one that was killed', async () => {
    await daemon().api.expect('POST', '/volumes/create', { body: { Name: 'shared', Driver: 'shelf' } });
    const [one, two] = [await start(daemon(), waiting(mounting('shared'))), await start(daemon(), waiting(mounting('shared')))];
    expect(plugin.mounts().toSorted()).toEqual([`shared ${one}`, `shared ${two}`].toSorted());
    expect((await daemon().api.expect<Volume>('GET', '/volumes/shared')).Mountpoint).toBe(join(plugin.folder, 'volumes/shared'));
    await daemon().kill();
    process.kill((await daemonlessPid(two)) ?? 0, 'SIGKILL');
    await daemon().start();
    await eventually('the one that ended meanwhile is unmounted', () => plugin.mounts().join() === `shared ${one}`);
    await remove(daemon(), one);
    await remove(daemon(), two);
    expect(plugin.mounts()).toEqual([]);
    await daemon().api.expect('DELETE', '/volumes/shared', { status: 204 });
  });

  /** The process of a container while there is no daemon to ask. */
  async function daemonlessPid(id: string): Promise<number | undefined> {
    for (const pid of (await Array.fromAsync(new Bun.Glob('[0-9]*').scan({ cwd: '/proc', onlyFiles: false }))).map(Number)) {
      const cgroup = await Bun.file(`/proc/${String(pid)}/cgroup`)
        .text()
        .catch(() => '');
      if (
        cgroup.includes(id) &&
        !(
          await Bun.file(`/proc/${String(pid)}/cmdline`)
            .text()
            .catch(() => '')
        ).includes('conmon')
      )
        return pid;
    }
    return undefined;
  }

  test('volumes that it made by itself are found by their names', async () => {
    mkdirSync(join(plugin.folder, 'volumes/old'));
    expect(await daemon().api.expect<Volume>('GET', '/volumes/old')).toMatchObject({ Name: 'old', Driver: 'shelf' });
    expect(await outputOf(daemon(), 'echo used >/data/x; cat /data/x', { HostConfig: { Binds: ['old:/data'] } })).toBe('used');
    await daemon().api.expect('DELETE', '/volumes/old', { status: 204 });
    expect(plugin.volumes()).toEqual([]);
  });

  test('what it refuses is passed on, and nothing is half done', async () => {
    await plugin.behave({ refuse: 'Create' });
    const refused = await refusal('POST', '/volumes/create', { Name: 'no', Driver: 'shelf' });
    expect([refused.status, refused.message]).toEqual([400, 'create no: VolumeDriver.Create: Create is refused today']);
    expect((await daemon().api.get('/volumes/no')).status).toBe(404);
    await plugin.behave({ refuse: 'Mount' });
    await daemon().api.expect('POST', '/volumes/create', { body: { Name: 'yes', Driver: 'shelf' } });
    const id = await create(
      daemon(),
      waiting({ HostConfig: { Mounts: [{ Type: 'volume', Source: 'yes', Target: '/data', VolumeOptions: { NoCopy: true } }] } }),
    );
    expect((await refusal('POST', `/containers/${id}/start`)).message).toContain(
      "error while mounting volume 'yes': VolumeDriver.Mount: Mount is refused today",
    );
    expect(plugin.mounts()).toEqual([]);
    await plugin.behave({});
    await daemon().api.expect('POST', `/containers/${id}/start`);
    await remove(daemon(), id);
    await plugin.behave({ refuse: 'Remove' });
    expect((await refusal('DELETE', '/volumes/yes')).message).toContain('remove yes: VolumeDriver.Remove: Remove is refused today');
    await plugin.behave({});
    await daemon().api.expect('DELETE', '/volumes/yes', { status: 204 });
  });

  test('one that dies while it is asked, and one that is gone, are named; containers end all the same', async () => {
    await daemon().api.expect('POST', '/volumes/create', { body: { Name: 'v', Driver: 'shelf' } });
    const id = await start(daemon(), waiting(mounting('v')));
    await plugin.behave({ die: 'Get' });
    expect((await refusal('GET', '/volumes/v')).message).toMatch(/plugin "shelf" at .*: VolumeDriver\.Get broke off|does not listen at/);
    await plugin.behave({});
    await remove(daemon(), id);
    expect(plugin.mounts()).toEqual([`v ${id}`]);
    const list = await daemon().api.expect<{ Volumes: Volume[]; Warnings: string[] | null }>('GET', '/volumes');
    expect(list.Volumes.map(({ Name }) => Name)).toEqual(['v']);
    expect(list.Warnings?.join()).toContain('shelf');
    expect(await refusal('DELETE', '/volumes/v')).toMatchObject({ status: 503 });
    await plugin.start();
    await daemon().restart();
    await eventually('it hears of what ended meanwhile', () => plugin.mounts().length === 0);
    await daemon().api.expect('DELETE', '/volumes/v', { status: 204 });
  });

  test('one that hangs holds up nobody else', async () => {
    await plugin.behave({ hang: 'List' });
    const startedAt = performance.now();
    const { Warnings } = await daemon().api.expect<{ Warnings: string[] | null }>('GET', '/volumes');
    expect(Warnings?.join()).toContain('did not answer within 2 s');
    expect(performance.now() - startedAt).toBeLessThan(10_000);
    await plugin.behave({});
  });

  test('descriptions that make no sense are refused with their place', async () => {
    const described = async (text: string): Promise<string> => {
      writeFileSync('/etc/berth/plugins/odd-one.json', text);
      return (await refusal('POST', '/volumes/create', { Name: 'odd', Driver: 'odd-one' })).message;
    };
    const existed = existsSync('/etc/berth');
    mkdirSync('/etc/berth/plugins', { recursive: true });
    try {
      expect(await described('{')).toContain('/etc/berth/plugins/odd-one.json is not valid JSON');
      expect(await described('{"Name":"odd-one"}')).toContain('needs an "Addr"');
      expect(await described('{"Name":"odd-one","Addr":"carrier-pigeon"}')).toContain('expected unix:///path or tcp://host:port');
      expect(await described(`{"Name":"odd-one","Addr":"unix://${daemon().execRoot}/plugins/shelf.sock"}`)).toBeUndefined();
      await daemon().api.expect('DELETE', '/volumes/odd', { status: 204 });
    } finally {
      await Bun.$`rm -rf ${existed ? '/etc/berth/plugins' : '/etc/berth'}`;
    }
  });
});
