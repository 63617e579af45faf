import { expect } from 'bun:test';
import { create, execIn, sharedDaemon, waiting } from '#test/helpers/containers.ts';
import { needs } from '#test/helpers/needs.ts';
import { listOf, type Shape } from '#test/helpers/shape.ts';
import * as shapes from './api-shapes.ts';

const { describe, test } = needs('root', 'conmon', 'nft');

describe('answers have the shape that clients rely on', () => {
  const daemon = sharedDaemon();
  const get = async (path: string, shape: Shape): Promise<void> => {
    expect(shape(await daemon().api.expect('GET', path), path.split('?')[0] ?? '')).toEqual([]);
  };

  test('containers: created, running, with everything set, ended', async () => {
    const much = waiting({
      Env: ['A=b'],
      Labels: { a: 'b' },
      User: '0',
      WorkingDir: '/tmp',
      StopSignal: 'SIGTERM',
      StopTimeout: 5,
      Volumes: { '/anonymous': {} },
      ExposedPorts: { '81/udp': {} },
      HostConfig: {
        PortBindings: { '80/tcp': [{ HostIp: '127.0.0.1', HostPort: '' }] },
        Binds: ['shaped:/named', '/tmp:/host:ro'],
        Mounts: [{ Type: 'tmpfs', Target: '/scratch', TmpfsOptions: { SizeBytes: 1_000_000 } }],
        Tmpfs: { '/run': 'size=1m' },
        Memory: 50_000_000,
        PidsLimit: 100,
        Ulimits: [{ Name: 'nofile', Soft: 100, Hard: 200 }],
        CapAdd: ['NET_ADMIN'],
        CapDrop: ['MKNOD'],
        SecurityOpt: ['no-new-privileges'],
        Devices: [{ PathOnHost: '/dev/null', PathInContainer: '/dev/nothing', CgroupPermissions: 'rw' }],
        Dns: ['192.0.2.1'],
        ExtraHosts: ['friend:192.0.2.2'],
        GroupAdd: ['5'],
        Sysctls: { 'net.ipv4.ip_unprivileged_port_start': '0' },
        Annotations: { x: 'y' },
        Init: true,
        RestartPolicy: { Name: 'on-failure', MaximumRetryCount: 3 },
      },
    });
    const answer = await daemon().api.expect('POST', '/containers/create?name=shape', { body: { Image: 'busybox', ...much }, status: 201 });
    expect(shapes.created(answer, 'create')).toEqual([]);
    await get('/containers/shape/json', shapes.containerInspect);
    await daemon().api.expect('POST', '/containers/shape/start', { status: 204 });
    await get('/containers/shape/json?size=1', shapes.containerInspect);
    await get('/containers/json?all=1&size=1', listOf(shapes.containerSummary));
    await get('/containers/shape/top', shapes.top);
    await get('/containers/shape/stats?stream=0', shapes.containerStats);
    const updated = await daemon().api.expect('POST', '/containers/shape/update', { body: { PidsLimit: 50 } });
    expect(shapes.updated(updated, 'update')).toEqual([]);
    await get('/networks/bridge', shapes.network);
    await get('/system/df', shapes.diskUsage);
    await daemon().api.expect('POST', '/containers/shape/stop', { status: 204 });
    await get('/containers/shape/stats?stream=0', shapes.containerStats);
    await get('/containers/shape/json', shapes.containerInspect);
    await daemon().api.expect('DELETE', '/containers/shape?v=1', { status: 204 });
    await daemon().api.expect('DELETE', '/volumes/shaped', { status: 204 });
  });

  test('exec before, while and after it runs', async () => {
    const id = await create(daemon(), waiting(), 'execs');
    await daemon().api.expect('POST', `/containers/${id}/start`, { status: 204 });
    const body = { Cmd: ['sleep', '1000'], User: '0', Env: ['A=b'] };
    const exec = await daemon().api.expect<{ Id: string }>('POST', `/containers/${id}/exec`, { body, status: 201 });
    await get(`/exec/${exec.Id}/json`, shapes.execInspect);
    await daemon().api.expect('POST', `/exec/${exec.Id}/start`, { body: { Detach: true }, status: 200 });
    await get(`/exec/${exec.Id}/json`, shapes.execInspect);
    await get(`/containers/${id}/json`, shapes.containerInspect);
    expect((await execIn(daemon(), id, ['true'])).exitCode).toBe(0);
    await daemon().api.expect('DELETE', `/containers/${id}?force=1`, { status: 204 });
  });

  test('images', async () => {
    await get('/images/busybox/json', shapes.imageInspect);
    await get('/images/json?all=1&shared-size=1', listOf(shapes.imageSummary));
    await get('/images/busybox/history', shapes.imageHistory);
  });

  test('an image tells where its layers are', async () => {
    type Image = { readonly GraphDriver: { readonly Data: { readonly UpperDir: string } } };
    const { GraphDriver } = await daemon().api.expect<Image>('GET', '/images/busybox/json');
    expect(await Bun.file(`${GraphDriver.Data.UpperDir}/bin/busybox`).exists()).toBe(true);
  });

  test('networks and volumes', async () => {
    await daemon().api.expect('POST', '/networks/create', { body: { Name: 'shapes', Labels: { a: 'b' }, EnableIPv6: false }, status: 201 });
    await get('/networks', listOf(shapes.network));
    await get('/networks/shapes', shapes.network);
    await daemon().api.expect('DELETE', '/networks/shapes', { status: 204 });
    await daemon().api.expect('POST', '/volumes/create', { body: { Name: 'shapes', Labels: { a: 'b' } }, status: 201 });
    await get('/volumes', shapes.volumeList);
    await get('/volumes/shapes', shapes.volume);
    await daemon().api.expect('DELETE', '/volumes/shapes', { status: 204 });
  });

  test('the daemon', async () => {
    await get('/version', shapes.version);
    await get('/info', shapes.info);
  });

  test('events of all that happened here', async () => {
    const now = Math.floor(Date.now() / 1000) + 1;
    const { text } = await daemon().api.get(`/events?since=1&until=${String(now)}`);
    const events = text.trim().split('\n');
    expect(events.length).toBeGreaterThan(20);
    expect(events.flatMap((line, i) => shapes.event(JSON.parse(line), `event ${String(i)}`))).toEqual([]);
    expect(events.every(line => /"timeNano":\d{19}[,}]/.test(line))).toBe(true);
  });

  test('errors', async () => {
    for (const path of ['/containers/nope/json', '/images/nope/json', '/networks/nope', '/volumes/nope', '/exec/nope/json', '/nope']) {
      const { status, headers, json } = await daemon().api.get(path);
      expect([path, status, headers.get('content-type'), shapes.error(json, path)]).toEqual([path, 404, 'application/json', []]);
    }
  });
});
