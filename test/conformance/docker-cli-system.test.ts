import { expect } from 'bun:test';
import { sharedDaemon } from '#test/helpers/containers.ts';
import { dockerCommand } from '#test/helpers/docker-cli.ts';
import { eventually } from '#test/helpers/eventually.ts';
import { needs } from '#test/helpers/needs.ts';
import { runOk } from '#test/helpers/run.ts';

const { describe, test } = needs('root', 'conmon', 'nft');

describe('the docker command line about the system', () => {
  const daemon = sharedDaemon();
  const ok = async (...args: string[]): Promise<string> => (await daemon().dockerOk(...args)).trim();

  test('info has no blanks, no warnings that are not true', async () => {
    const { exitCode, stdout, stderr } = await daemon().docker(['info']);
    expect([exitCode, stderr]).toEqual([0, '']);
    for (const line of [
      /Server Version: \d/,
      /Storage Driver: overlay2/,
      /Backing Filesystem: \w+/,
      /Cgroup Driver: cgroupfs/,
      /Cgroup Version: [12]/,
      /Default Runtime: c?runc?/,
      /runc version: \d/,
      /init version: \d/,
      /Kernel Version: \d/,
      /Total Memory: [\d.]+GiB/,
      /Docker Root Dir: \//,
      /Live Restore Enabled: true/,
    ])
      expect(stdout).toMatch(line);
    const info = JSON.parse(await ok('info', '--format', '{{json .}}')) as {
      readonly ServerErrors?: readonly string[];
      readonly ID: string;
    };
    expect(info.ServerErrors ?? []).toEqual([]);
    expect(info.ID).not.toBe('');
  });

  test('system df counts what is in use, system prune removes what is not', async () => {
    await ok('run', '-d', '--name', 'used', '-v', 'kept:/data', 'busybox', 'sh', '-c', 'head -c 100000 /dev/zero > /big; sleep 1000');
    await ok('run', '--name', 'ended', '-v', '/anonymous', 'busybox', 'true');
    await ok('network', 'create', 'unused');
    await ok('tag', 'busybox', 'second:name');
    await eventually('the file is written', async () => (await ok('exec', 'used', 'stat', '-c', '%s', '/big')) === '100000');
    const rows = async () => {
      const text = await ok('system', 'df', '--format', '{{.Type}}: {{.TotalCount}} {{.Active}} {{.Reclaimable}}');
      return Object.fromEntries(text.split('\n').map(line => line.split(': ') as [string, string]));
    };
    expect(await rows()).toEqual({
      Images: '1 1 0B (0%)',
      Containers: expect.stringMatching(/^2 1 /),
      'Local Volumes': expect.stringMatching(/^2 2 /),
      'Build Cache': '0 0 0B',
    });
    expect(await ok('system', 'df', '-v')).toMatch(/busybox\s+latest[\s\S]*used[\s\S]*kept\s+1\s+\d/);
    expect(await ok('ps', '-s', '--filter', 'name=used', '--format', '{{.Size}}')).toMatch(/^10\dkB \(virtual \d/);

    const said = await ok('system', 'prune', '-f');
    expect(said).toMatch(/Deleted Containers:\n[0-9a-f]{64}\n\nDeleted Networks:\nunused\n\n(Total|Deleted)/);
    expect(said).toContain('Total reclaimed space: ');
    expect(await ok('ps', '-a', '--format', '{{.Names}}')).toBe('used');
    const volumes = await ok('system', 'prune', '-af', '--volumes');
    expect(volumes).toMatch(/Deleted Volumes:\n[0-9a-f]{64}\n/);
    expect(await ok('volume', 'ls', '-q')).toBe('kept');
    await ok('rm', '-f', 'used');
    expect(await ok('volume', 'prune', '-af')).toContain('kept');
    expect((await rows()).Containers).toBe('0 0 0B');
  });

  test('the figures of containers and volumes are what their files take', async () => {
    await ok('create', '--name', 'idle', 'busybox');
    const script = 'head -c 54321 /dev/zero > /big; ln /big /again; ln -s big /link; rm /etc/passwd; head -c 777 /dev/zero > /data/x';
    await ok('run', '--name', 'sized', '-v', 'sized:/data', 'busybox', 'sh', '-c', script);
    const usage = await daemon().api.expect<{
      Containers: { Names: string[]; SizeRw?: number; SizeRootFs: number }[];
      Volumes: { Name: string; UsageData: { Size: number; RefCount: number } }[];
    }>('GET', '/system/df');
    const onDisk = Object.fromEntries(usage.Containers.map(({ Names, SizeRw = 0 }) => [Names[0], SizeRw]));
    expect(await ok('inspect', '-s', '--format', '{{.SizeRw}}', 'idle')).toBe('0');
    // Of links what they say; of what every container gets at its start nothing.
    expect(await ok('inspect', '-s', '--format', '{{.SizeRw}}', 'sized')).toBe(String(54_321 + 'big'.length));
    expect(usage.Volumes.map(({ Name, UsageData }) => [Name, UsageData.RefCount])).toEqual([['sized', 1]]);
    const [upper, volume] = [
      await ok('inspect', '--format', '{{.GraphDriver.Data.UpperDir}}', 'sized'),
      await ok('volume', 'inspect', '--format', '{{.Mountpoint}}', 'sized'),
    ];
    for (const [path, bytes] of [
      [upper, onDisk['/sized']],
      [volume, usage.Volumes[0]?.UsageData.Size],
    ] as const)
      expect([path, await diskBytesBelow(path)]).toEqual([path, bytes ?? 0]);
    await ok('rm', 'idle', 'sized');
    await ok('volume', 'rm', 'sized');
  });

  test('prunes of one kind, with filters', async () => {
    await ok('create', '--name', 'one', '--label', 'keep=yes', 'busybox');
    await ok('create', '--name', 'two', 'busybox');
    await ok('network', 'create', '--label', 'keep=yes', 'neta');
    await ok('network', 'create', 'netb');
    expect(await ok('container', 'prune', '-f', '--filter', 'until=24h')).toBe('Total reclaimed space: 0B');
    await ok('container', 'prune', '-f', '--filter', 'label!=keep=yes');
    expect(await ok('ps', '-a', '--format', '{{.Names}}')).toBe('one');
    await ok('network', 'prune', '-f', '--filter', 'label!=keep');
    expect(await ok('network', 'ls', '--filter', 'type=custom', '--format', '{{.Name}}')).toBe('neta');
    await ok('container', 'prune', '-f');
    await ok('network', 'prune', '-f');
    expect(await ok('image', 'prune', '-f')).toBe('Total reclaimed space: 0B');
  });

  test('one prune at a time', async () => {
    // One that has ended before another begins stands in nobody's way: then they are to try again.
    await eventually('a prune finds another under way', async () => {
      for (let i = 0; i < 5; i += 1) await ok('create', 'busybox');
      const statuses = await Promise.all([1, 2, 3].map(async () => (await daemon().api.post('/containers/prune')).status));
      expect(statuses).toContain(200);
      expect(statuses.filter(status => status !== 200 && status !== 409)).toEqual([]);
      expect(await ok('ps', '-aq')).toBe('');
      return statuses.includes(409);
    });
  });

  test('events: as they happen, and from the past by every kind of filter', async () => {
    const since = String(Math.floor(Date.now() / 1000));
    const live = Bun.spawn([...dockerCommand(), 'events', '--filter', 'container=watched', '--format', '{{.Action}}'], {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { ...process.env, DOCKER_HOST: daemon().host },
    });
    let heard = '';
    void (async () => {
      for await (const chunk of live.stdout) heard += Buffer.from(chunk).toString();
    })();
    await eventually(
      'somebody listens',
      async () => (await daemon().api.expect<{ NEventsListener: number }>('GET', '/info')).NEventsListener === 1,
    );
    const id = await ok('run', '-d', '--name', 'watched', '--label', 'x=y', '-v', 'evented:/data', 'busybox', 'sleep', '1000');
    await ok('exec', 'watched', 'true');
    await ok('pause', 'watched');
    await ok('unpause', 'watched');
    await ok('rename', 'watched', 'renamed');
    await ok('kill', 'renamed');
    await eventually('it has ended', async () => (await ok('ps', '-aq', '--filter', 'status=exited')) !== '');
    await ok('rm', 'renamed');
    await ok('volume', 'rm', 'evented');
    await eventually('what happened live', () => heard.includes('unpause'));
    live.kill();
    expect(heard.split('\n').slice(0, 2)).toEqual(['create', 'start']);

    const until = String(Math.floor(Date.now() / 1000) + 1);
    const past = async (...filters: string[]) => {
      const args = filters.flatMap(filter => ['--filter', filter]);
      const text = await ok('events', '--since', since, '--until', until, '--format', '{{.Type}} {{.Action}}', ...args);
      return text.split('\n').filter(Boolean);
    };
    expect(await past('type=volume', 'volume=evented')).toEqual(['volume create', 'volume mount', 'volume unmount', 'volume destroy']);
    expect((await past('type=network')).slice(-2)).toEqual(['network connect', 'network disconnect']);
    expect(await past('event=die', 'event=destroy', 'type=container', 'container=renamed')).toEqual(['container die', 'container destroy']);
    expect(await past('label=x=y', 'event=rename')).toEqual(['container rename']);
    expect(await past('label=x=z')).toEqual([]);
    expect(await past('volume=evented', 'event=create')).toEqual(['volume create']);
    const execs = (await past('type=container', `container=${id.trim()}`)).filter(line => line.includes('exec'));
    expect(execs).toEqual(['container exec_create: true ', 'container exec_start: true ', 'container exec_die']);
    const die = await ok(
      'events',
      '--since',
      since,
      '--until',
      until,
      '--filter',
      'event=die',
      '--filter',
      `container=${id.trim()}`,
      '--format',
      '{{json .Actor.Attributes}}',
    );
    expect(JSON.parse(die)).toMatchObject({ exitCode: '137', image: 'busybox', name: 'renamed', x: 'y', execDuration: expect.any(String) });
  });

  test('a reload is an event', async () => {
    const since = String(Date.now() / 1000);
    process.kill(daemon().pid, 'SIGHUP');
    const text = await eventually('the event', async () => {
      const until = String(Date.now() / 1000);
      return (await ok('events', '--since', since, '--until', until, '--filter', 'type=daemon', '--format', '{{.Action}}')) || undefined;
    });
    expect(text).toBe('reload');
  });
});

const diskBytesBelow = async (path: string): Promise<number> => Number((await runOk(['du', '-s', '--block-size=1', path])).split('\t')[0]);
