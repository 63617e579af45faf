import { existsSync, readdirSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'bun:test';
import {
  type ContainerBody,
  create,
  execIn,
  inspect,
  logsOf,
  outputOf,
  remove,
  sharedDaemon,
  sh,
  start,
  waiting,
  waitForExit,
} from '#test/helpers/containers.ts';
import { tempFolder } from '#test/helpers/daemon.ts';
import { eventually } from '#test/helpers/eventually.ts';
import { mountsBelow } from '#test/helpers/machine.ts';
import { needs } from '#test/helpers/needs.ts';

const { describe, test } = needs('root', 'conmon', 'nft');

const host = (HostConfig: Readonly<Record<string, unknown>>): ContainerBody => ({ HostConfig });

describe('what containers share', () => {
  const daemon = sharedDaemon();

  const refusal = async (id: string): Promise<string> =>
    (await daemon().api.post<{ message: string }>(`/containers/${id}/start`)).json.message;

  test('a shareable container gives its memory and its IPC namespace to another', async () => {
    const donor = await start(daemon(), waiting(host({ IpcMode: 'shareable', ShmSize: 8 * 1024 * 1024 })));
    const guest = await start(daemon(), waiting(host({ IpcMode: `container:${donor}` })));
    await execIn(daemon(), donor, ['sh', '-c', 'echo hello >/dev/shm/word']);
    expect((await execIn(daemon(), guest, ['cat', '/dev/shm/word'])).stdout).toBe('hello\n');
    expect((await execIn(daemon(), guest, ['sh', '-c', 'df -m /dev/shm | tail -1 | tr -s " " | cut -d " " -f 2'])).stdout).toBe('8\n');
    const namespaceOf = async (id: string): Promise<string> => (await execIn(daemon(), id, ['readlink', '/proc/1/ns/ipc'])).stdout;
    expect(await namespaceOf(guest)).toBe(await namespaceOf(donor));
    await remove(daemon(), donor);
    expect((await execIn(daemon(), guest, ['cat', '/dev/shm/word'])).stdout).toBe('hello\n');
    expect(mountsBelow(join(daemon().dataRoot, 'containers'))).toEqual([]);
    await remove(daemon(), guest);
  });

  test('the shared memory of a container survives the daemon, and goes with the container', async () => {
    const donor = await start(daemon(), waiting(host({ IpcMode: 'shareable' })));
    await daemon().kill();
    await daemon().start();
    expect(mountsBelow(join(daemon().dataRoot, 'containers'))).toHaveLength(1);
    const guest = await start(daemon(), waiting(host({ IpcMode: `container:${donor}` })));
    await daemon().api.expect('POST', `/containers/${donor}/stop`);
    expect(mountsBelow(join(daemon().dataRoot, 'containers'))).toEqual([]);
    await remove(daemon(), guest);
    await remove(daemon(), donor);
  });

  test('whom a container shares with may get another name', async () => {
    const donor = await start(daemon(), waiting(host({ IpcMode: 'shareable' })), 'donor');
    const modes = { NetworkMode: 'container:donor', PidMode: 'container:donor', IpcMode: 'container:donor' };
    const guest = await create(daemon(), waiting(host(modes)));
    expect((await inspect(daemon(), guest)).HostConfig).toMatchObject({
      NetworkMode: `container:${donor}`,
      PidMode: `container:${donor}`,
      IpcMode: `container:${donor}`,
    });
    await daemon().api.expect('POST', `/containers/${donor}/rename?name=patron`, { status: 204 });
    await daemon().api.expect('POST', `/containers/${guest}/start`, { status: 204 });
    for (const id of [guest, donor]) await remove(daemon(), id);
  });

  test('private memory is not to be shared, nor that of a container that does not run', async () => {
    const donor = await start(daemon(), waiting());
    const guest = await create(daemon(), host({ IpcMode: `container:${donor}` }));
    expect(await refusal(guest)).toContain(
      `can't join IPC of container ${donor}: non-shareable IPC (hint: use IpcMode:shareable for the donor container)`,
    );
    await daemon().api.expect('POST', `/containers/${donor}/stop`);
    expect(await refusal(guest)).toContain(`can't join IPC of container ${donor}: container ${donor} is not running`);
    await remove(daemon(), guest);
    await remove(daemon(), donor);
  });

  test('a link tells where the other container is, in the hosts file and the environment, until it is removed', async () => {
    const other = await start(daemon(), waiting({ ExposedPorts: { '5432/tcp': {}, '80/udp': {} }, Env: ['USER=me'] }), 'db');
    const { stdout: address } = await execIn(daemon(), other, ['hostname', '-i']);
    const web = await start(daemon(), waiting(host({ Links: ['db:data-base'] })), 'web');
    const env = (await execIn(daemon(), web, ['env'])).stdout.split('\n');
    const ip = address.trim();
    for (const line of [
      `DATA_BASE_PORT=tcp://${ip}:5432`,
      `DATA_BASE_PORT_5432_TCP_ADDR=${ip}`,
      `DATA_BASE_PORT_80_UDP=udp://${ip}:80`,
      'DATA_BASE_NAME=/web/data-base',
      'DATA_BASE_ENV_USER=me',
    ])
      expect(env).toContain(line);
    const known = async (): Promise<string> => (await execIn(daemon(), web, ['grep', 'data-base', '/etc/hosts'])).stdout;
    expect(await known()).toBe(`${ip}\tdata-base ${other.slice(0, 12)} db\n`);
    const { HostConfig } = await daemon().api.expect<{ HostConfig: { Links: string[] } }>('GET', '/containers/web/json');
    expect(HostConfig.Links).toEqual(['/db:/web/data-base']);
    await daemon().api.expect('POST', '/containers/db/stop?t=5');
    const taker = await start(daemon(), waiting({ NetworkingConfig: { EndpointsConfig: { bridge: {} } } }));
    await daemon().api.expect('POST', '/containers/db/start', { status: 204 });
    const { stdout: newAddress } = await execIn(daemon(), other, ['hostname', '-i']);
    expect(await known()).toBe(`${newAddress.trim()}\tdata-base ${other.slice(0, 12)} db\n`);
    await remove(daemon(), taker);
    await daemon().api.expect('DELETE', '/containers/web/data-base?link=1', { status: 204 });
    expect(await known()).toBe('');
    await remove(daemon(), web);
    await remove(daemon(), other);
  });

  test('an image as a mount, read-only, whole or a part of it', async () => {
    const mount = { Type: 'image', Source: 'busybox', Target: '/other' };
    expect(await outputOf(daemon(), 'ls /other/bin/sh; touch /other/new 2>&1 || true', host({ Mounts: [mount] }))).toBe(
      '/other/bin/sh\ntouch: /other/new: Read-only file system',
    );
    const part = { ...mount, ImageOptions: { Subpath: 'etc' } };
    expect(await outputOf(daemon(), 'ls /other/passwd', host({ Mounts: [part] }))).toBe('/other/passwd');
    const missing = await create(daemon(), host({ Mounts: [{ ...mount, ImageOptions: { Subpath: 'no/such' } }] }));
    expect(await refusal(missing)).toContain('image busybox has no subpath "no/such"');
    await remove(daemon(), missing);
    const unknown = await daemon().api.post<{ message: string }>('/containers/create', {
      Image: 'busybox',
      HostConfig: { Mounts: [{ ...mount, Source: 'nosuchimage' }] },
    });
    expect(unknown.status).toBe(400);
    expect(unknown.json.message).toContain('No such image: nosuchimage:latest');
  });

  test('a link to a device, and a directory of devices', async () => {
    await using folder = await tempFolder();
    symlinkSync('/dev/zero', join(folder.path, 'nothing'));
    const device = (PathOnHost: string, PathInContainer: string) =>
      host({ Devices: [{ PathOnHost, PathInContainer, CgroupPermissions: 'rwm' }] });
    const read = 'test -c /dev/it && head -c 3 /dev/it | od -An -tx1 | tr -d " "';
    expect(await outputOf(daemon(), read, device(join(folder.path, 'nothing'), '/dev/it'))).toBe('000000');
    symlinkSync('/dev/net', join(folder.path, 'all'));
    if (existsSync('/dev/net')) {
      const listed = await outputOf(daemon(), 'ls /dev/all', device(join(folder.path, 'all'), '/dev/all'));
      expect(listed.split('\n')).toEqual(readdirSync('/dev/net'));
    }
  });
});

describe('limited logs', () => {
  const daemon = sharedDaemon();
  const limited = (config: Readonly<Record<string, string>>): ContainerBody => host({ LogConfig: { Type: 'json-file', Config: config } });

  test('max-size and max-file keep the newest output, in order, in as many files as were asked for', async () => {
    const lines = 3000;
    const body = sh(
      `i=0; while [ $i -lt ${String(lines)} ]; do i=$((i+1)); echo "line $i"; [ $((i%100)) = 0 ] && usleep 20000; done; sleep 0.1`,
      limited({ 'max-size': '40k', 'max-file': '3' }),
    );
    const id = await start(daemon(), body);
    await waitForExit(daemon(), id);
    const kept = (await logsOf(daemon(), id)).stdout.trim().split('\n');
    expect(kept.at(-1)).toBe(`line ${String(lines)}`);
    const first = Number(kept[0]?.split(' ')[1]);
    expect(kept).toEqual(Array.from({ length: lines - first + 1 }, (_, at) => `line ${String(first + at)}`));
    expect(first).toBeGreaterThan(1);
    const files = readdirSync(join(daemon().dataRoot, 'containers', id)).filter(name => name.includes('.log'));
    expect(files.length).toBeGreaterThanOrEqual(2);
    expect(files.length).toBeLessThanOrEqual(4);
    await remove(daemon(), id);
  });

  test('generations are still kept after the daemon was killed', async () => {
    const id = await start(
      daemon(),
      sh('while :; do echo 0123456789012345678901234567890123456789; usleep 500; done', limited({ 'max-size': '20k', 'max-file': '2' })),
    );
    await daemon().kill();
    await daemon().start();
    const generation = join(daemon().dataRoot, 'containers', id, `${id}-json.log.1`);
    await eventually('an older file is kept', async () => existsSync(generation));
    await remove(daemon(), id);
  });

  test('options that make no sense are refused', async () => {
    const refused = async (config: Readonly<Record<string, string>>): Promise<string> => {
      const answer = await daemon().api.post<{ message: string }>('/containers/create', { Image: 'busybox', ...limited(config) });
      expect(answer.status).toBe(400);
      return answer.json.message;
    };
    expect(await refused({ 'max-files': '3' })).toBe("unknown log opt 'max-files' for json-file log driver");
    expect(await refused({ 'max-size': 'lots' })).toBe("invalid size: 'lots'");
    expect(await refused({ 'max-file': '0' })).toBe('max-file cannot be less than 1');
  });
});
