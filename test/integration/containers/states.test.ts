import { expect } from 'bun:test';
import {
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

describe('pause', () => {
  const daemon = sharedDaemon();

  test('stands still until it goes on; what needs it to run is refused meanwhile', async () => {
    const id = await start(daemon(), sh('i=0; while :; do i=$((i+1)); echo $i >/count; done'));
    await daemon().api.expect('POST', `/containers/${id}/pause`, { status: 204 });
    expect((await inspect(daemon(), id)).State).toMatchObject({ Status: 'paused', Running: true, Paused: true });
    const refused: readonly (readonly [string, number, string])[] = [
      ['pause', 409, 'is already paused'],
      ['start', 409, 'cannot start a paused container, try unpause instead'],
      ['exec', 409, 'is paused, unpause the container before exec'],
      ['attach?stream=1&stdout=1', 409, 'is paused, unpause the container before attach'],
    ];
    for (const [what, status, text] of refused) {
      const answer = await daemon().api.post(`/containers/${id}/${what}`, what === 'exec' ? { Cmd: ['true'] } : undefined);
      expect({ what, status: answer.status, text: answer.text }).toEqual({
        what,
        status,
        text: expect.stringContaining(text) as string,
      });
    }
    await daemon().api.expect('POST', `/containers/${id}/unpause`, { status: 204 });
    expect((await daemon().api.post(`/containers/${id}/unpause`)).status).toBe(409);
    expect((await execIn(daemon(), id, ['cat', '/count'])).exitCode).toBe(0);
    await remove(daemon(), id);
  });

  test('stays paused when the daemon is killed; is stopped and removed like others', async () => {
    const ending = sh('trap "exit 0" TERM; echo ready; while :; do sleep 100 & wait $!; done');
    const [stopped, removed] = await Promise.all([start(daemon(), ending), start(daemon(), waiting())]);
    await eventually('its trap is set', async () => (await logsOf(daemon(), stopped)).stdout === 'ready\n');
    for (const id of [stopped, removed]) await daemon().api.expect('POST', `/containers/${id}/pause`);
    await daemon().kill();
    await daemon().start();
    expect((await inspect(daemon(), stopped)).State.Status).toBe('paused');
    await daemon().api.expect('POST', `/containers/${stopped}/stop?t=5`);
    expect((await inspect(daemon(), stopped)).State).toMatchObject({ Status: 'exited', ExitCode: 0 });
    for (const id of [stopped, removed]) await remove(daemon(), id);
  });
});

describe('kill and restart policies', () => {
  const daemon = sharedDaemon();
  const always = (script: string) => sh(script, { HostConfig: { RestartPolicy: { Name: 'always' } } });

  test('a signal that is not the stop signal does not keep it down; SIGKILL and the stop signal do', async () => {
    const id = await start(daemon(), always('trap "exit 3" HUP; trap "exit 0" TERM; echo ready; while :; do sleep 100 & wait $!; done'));
    // Before its traps are set, process 1 ignores these signals.
    let runs = 0;
    const untilReady = async (): Promise<void> => {
      runs += 1;
      await eventually('its traps are set', async () => (await logsOf(daemon(), id)).stdout === 'ready\n'.repeat(runs));
    };
    await untilReady();
    await daemon().api.expect('POST', `/containers/${id}/kill?signal=HUP`);
    await eventually('it came back', async () => (await inspect(daemon(), id)).RestartCount === 1);
    for (const signal of ['KILL', 'TERM']) {
      await untilReady();
      await daemon().api.expect('POST', `/containers/${id}/kill?signal=${signal}`);
      await eventually('it is down', async () => (await inspect(daemon(), id)).State.Status === 'exited');
      await daemon().api.expect('POST', `/containers/${id}/start`, { status: 204 });
    }
    await remove(daemon(), id);
  });
});

describe('prune', () => {
  const daemon = sharedDaemon();

  test('takes what does not run and matches', async () => {
    const running = await start(daemon(), waiting());
    const kept = await create(daemon(), { Labels: { keep: 'yes' } });
    const ended = await start(daemon(), sh('true'));
    await waitForExit(daemon(), ended);
    const prune = async (filters: object): Promise<string[]> => {
      const query = encodeURIComponent(JSON.stringify(filters));
      const answer = await daemon().api.expect<{ ContainersDeleted: string[] | null }>('POST', `/containers/prune?filters=${query}`);
      return answer.ContainersDeleted ?? [];
    };
    expect(await prune({ until: ['1h'] })).toEqual([]);
    expect(await prune({ 'label!': ['keep'] })).toEqual([ended]);
    expect(await prune({ label: ['keep=yes'] })).toEqual([kept]);
    expect((await inspect(daemon(), running)).State.Running).toBe(true);
    await remove(daemon(), running);
  });
});

describe('volumes in use', () => {
  const daemon = sharedDaemon();

  test('a volume with options is mounted while a container runs, and only then, also across a killed daemon', async () => {
    const mounted = (): string[] => mountsBelow(`${daemon().dataRoot}/volumes`);
    await daemon().api.expect('POST', '/volumes/create', {
      body: { Name: 'memory', DriverOpts: { type: 'tmpfs', device: 'tmpfs', o: 'size=1m,mode=700' } },
    });
    expect(mounted()).toEqual([]);
    const body = { HostConfig: { Binds: ['memory:/data'] } };
    const [one, other] = [await start(daemon(), waiting(body)), await start(daemon(), waiting(body))];
    expect((await execIn(daemon(), one, ['stat', '-f', '-c', '%T', '/data'])).stdout).toBe('tmpfs\n');
    await execIn(daemon(), one, ['touch', '/data/shared']);
    await remove(daemon(), one);
    expect((await execIn(daemon(), other, ['ls', '/data'])).stdout).toBe('shared\n');
    await daemon().kill();
    await daemon().start();
    expect(mounted()).toHaveLength(1);
    await remove(daemon(), other);
    expect(mounted()).toEqual([]);
    await daemon().api.expect('DELETE', '/volumes/memory', { status: 204 });
  });

  test('a directory of the host as a volume', async () => {
    await using folder = await tempFolder();
    await Bun.write(`${folder.path}/file`, 'here');
    await daemon().api.expect('POST', '/volumes/create', {
      body: { Name: 'bound', DriverOpts: { type: 'none', device: folder.path, o: 'bind' } },
    });
    expect(await outputOf(daemon(), 'cat /data/file', { HostConfig: { Binds: ['bound:/data'] } })).toBe('here');
    await daemon().api.expect('DELETE', '/volumes/bound', { status: 204 });
    expect(await Bun.file(`${folder.path}/file`).text()).toBe('here');
  });

  test('a device that is not there is said at the start', async () => {
    await daemon().api.expect('POST', '/volumes/create', {
      body: { Name: 'nowhere', DriverOpts: { type: 'none', device: '/no/such/place', o: 'bind' } },
    });
    const id = await create(
      daemon(),
      sh('true', { HostConfig: { Mounts: [{ Type: 'volume', Source: 'nowhere', Target: '/data', VolumeOptions: { NoCopy: true } }] } }),
    );
    const answer = await daemon().api.post<{ message: string }>(`/containers/${id}/start`);
    expect(answer.json.message).toContain('failed to mount local volume');
    expect(answer.json.message).toContain('no such file or directory');
    await remove(daemon(), id);
    await daemon().api.expect('DELETE', '/volumes/nowhere', { status: 204 });
  });

  test('volumes of another container, all or read-only', async () => {
    const donor = await create(daemon(), { Volumes: { '/anonymous': {} }, HostConfig: { Binds: ['shared:/named'] } });
    expect(await outputOf(daemon(), 'touch /named/a /anonymous/b && echo ok', { HostConfig: { VolumesFrom: [donor] } })).toBe('ok');
    expect(
      await outputOf(daemon(), 'ls /named /anonymous; touch /named/c 2>&1 || true', { HostConfig: { VolumesFrom: [`${donor}:ro`] } }),
    ).toContain('touch: /named/c: Read-only file system');
    await remove(daemon(), donor);
    await daemon().api.expect('DELETE', '/volumes/shared', { status: 204 });
  });

  test('an empty volume gets the image’s files with owners, modes and times; one in use is left alone', async () => {
    const list = 'find . -exec stat -c "%n %a %u:%g %Y" {} + | sort';
    const inImage = await outputOf(daemon(), `cd /etc; ${list} | grep -Ev "^[.]/?(hosts|hostname|resolv.conf|mtab)?( |$)"`);
    const inVolume = await outputOf(daemon(), `cd /etc; ${list} | grep -Ev "^[.]/?(hosts|hostname|resolv.conf|mtab)?( |$)"`, {
      HostConfig: { Binds: ['filled:/etc'] },
    });
    expect(inVolume).toBe(inImage);
    await outputOf(daemon(), 'rm /etc/passwd', { HostConfig: { Binds: ['filled:/etc'] } });
    expect(await outputOf(daemon(), 'test -e /etc/passwd || echo gone', { HostConfig: { Binds: ['filled:/etc'] } })).toBe('gone');
    await daemon().api.expect('DELETE', '/volumes/filled', { status: 204 });
  });
});
