import { lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect } from 'bun:test';
import { create, execIn, inspect, outputOf, remove, runToEnd, sh, start, waiting } from '#test/helpers/containers.ts';
import { startDaemon, tempFolder, type TestDaemon } from '#test/helpers/daemon.ts';
import { needs } from '#test/helpers/needs.ts';
import { type PrivateEtc, remappedRoot, remappedUser, startPrivateEtc } from '#test/helpers/private-etc.ts';

const { describe, test } = needs('root', 'conmon', 'nft', 'crun', 'runc');

const owner = (path: string): string => `${String(lstatSync(path).uid)}:${String(lstatSync(path).gid)}`;
const rootInside = `${String(remappedUser.uid)}:${String(remappedUser.gid)}`;

const failureOf = async (starting: Promise<TestDaemon>): Promise<string> =>
  await starting.then(
    () => 'it started',
    (err: unknown) => String(err),
  );

describe('a daemon that remaps ids', () => {
  let etc: PrivateEtc;
  let daemon: TestDaemon;
  beforeAll(async () => {
    etc = await startPrivateEtc();
    daemon = await startDaemon({ args: ['--userns-remap', remappedUser.name], besideProcess: etc.pid, remappedRoot });
  }, 60_000);
  afterAll(async () => {
    await daemon?.[Symbol.asyncDispose]();
    await etc?.[Symbol.asyncDispose]();
  }, 60_000);

  for (const Runtime of ['crun', 'runc']) {
    const host = (HostConfig: Readonly<Record<string, unknown>>) => ({ HostConfig: { Runtime, ...HostConfig } });

    describe(`with ${Runtime}`, () => {
      test('root inside is nobody outside, as the kernel has it', async () => {
        const id = await start(daemon, waiting(host({})));
        const { Pid } = (await inspect(daemon, id)).State;
        const map = (file: string): string =>
          readFileSync(`/proc/${String(Pid)}/${file}`, 'utf8')
            .trim()
            .replace(/\s+/g, ' ');
        expect([map('uid_map'), map('gid_map')]).toEqual(['0 200000 65536', '0 300000 65536']);
        expect(owner(`/proc/${String(Pid)}`)).toBe(rootInside);
        expect(readlinkSync(`/proc/${String(Pid)}/ns/user`)).not.toBe(readlinkSync('/proc/self/ns/user'));
        expect((await execIn(daemon, id, ['id', '-u'])).stdout).toBe('0\n');
        expect((await execIn(daemon, id, ['readlink', '/proc/self/ns/user'])).stdout.trim()).toBe(
          readlinkSync(`/proc/${String(Pid)}/ns/user`),
        );
        // What it makes belongs to the mapped id outside.
        await execIn(daemon, id, ['sh', '-c', 'touch /made; chown 7:8 /made']);
        const { stdout } = await execIn(daemon, id, [
          'stat',
          '-c',
          '%u:%g',
          '/made',
          '/bin/busybox',
          '/etc/hosts',
          '/etc/hostname',
          '/etc/resolv.conf',
        ]);
        expect(stdout).toBe('7:8\n0:0\n0:0\n0:0\n0:0\n');
        expect(owner(`/proc/${String(Pid)}/root/made`)).toBe('200007:300008');
        await remove(daemon, id);
      });

      test('its root may do inside what it may, and nothing outside', async () => {
        expect(await outputOf(daemon, 'chown 1:1 /etc/passwd && stat -c %u /etc/passwd', host({}))).toBe('1');
        expect(await outputOf(daemon, 'ip link set lo mtu 1400 && cat /sys/class/net/lo/mtu', host({ CapAdd: ['NET_ADMIN'] }))).toBe(
          '1400',
        );
        expect(await outputOf(daemon, 'cat /host/shadow 2>&1 || true', host({ Binds: ['/etc:/host'] }))).toContain('Permission denied');
        const { exitCode } = await runToEnd(daemon, sh('touch /host/x', host({ Binds: ['/etc:/host'] })));
        expect(exitCode).not.toBe(0);
        expect(await outputOf(daemon, 'echo 1 2>/dev/null >/proc/sys/kernel/panic || echo refused', host({}))).toBe('refused');
      });

      test('devices stay the host’s, also its own /dev/null', async () => {
        const before = owner('/dev/null');
        expect(
          await outputOf(
            daemon,
            'echo x >/dev/null; echo x >/dev/nothing; stat -c %t:%T /dev/nothing',
            host({ Devices: [{ PathOnHost: '/dev/null', PathInContainer: '/dev/nothing', CgroupPermissions: 'rwm' }] }),
          ),
        ).toBe('1:3');
        const id = await start(daemon, waiting({ Tty: true, ...host({}) }));
        await execIn(daemon, id, ['true'], { User: '1000' });
        await execIn(daemon, id, ['true'], { User: '1000', Tty: true });
        await remove(daemon, id);
        expect(owner('/dev/null')).toBe(before);
      });

      test('volumes belong to the root of the containers, their copies to the owners in the image', async () => {
        const id = await create(
          daemon,
          sh('stat -c %u:%g /etc /etc/passwd /empty; touch /empty/x', host({ Binds: ['copied:/etc', 'empty:/empty'] })),
        );
        await daemon.api.expect('POST', `/containers/${id}/start`);
        await daemon.api.expect('POST', `/containers/${id}/wait`);
        const volumes = join(daemon.dataRoot, remappedRoot, 'volumes');
        expect(['copied/_data', 'copied/_data/passwd', 'empty/_data', 'empty/_data/x'].map(path => owner(join(volumes, path)))).toEqual(
          Array(4).fill(rootInside),
        );
        await remove(daemon, id);
        for (const name of ['copied', 'empty']) await daemon.api.expect('DELETE', `/volumes/${name}`);
      });

      test('working directories, scratch and shared memory are its own', async () => {
        const script = 'stat -c "%n %u:%g" /made /made/here /scratch; echo x >/dev/shm/x && echo shm';
        const seen = await outputOf(daemon, script, {
          WorkingDir: '/made/here',
          ...host({ Tmpfs: { '/scratch': '' }, IpcMode: 'shareable' }),
        });
        expect(seen).toBe('/made 0:0\n/made/here 0:0\n/scratch 0:0\nshm');
      });

      test('a namespace of another container brings its user namespace along', async () => {
        const donor = await start(daemon, waiting(host({ IpcMode: 'shareable' })));
        const { Pid } = (await inspect(daemon, donor)).State;
        const expected = readlinkSync(`/proc/${String(Pid)}/ns/user`);
        for (const mode of ['NetworkMode', 'IpcMode', 'PidMode']) {
          const script = 'readlink /proc/self/ns/user; ls /sys/class/net | wc -l';
          expect((await outputOf(daemon, script, host({ [mode]: `container:${donor}` }))).split('\n')).toEqual([expected, '2']);
        }
        const outsider = await start(daemon, waiting(host({ UsernsMode: 'host' })));
        const id = await create(daemon, sh('true', host({ PidMode: `container:${outsider}` })));
        const answer = await daemon.api.post<{ message: string }>(`/containers/${id}/start`);
        expect([answer.status, answer.json.message]).toEqual([
          409,
          `container ${outsider} is in the host's user namespace: join it with --userns=host`,
        ]);
        for (const each of [id, outsider, donor]) await remove(daemon, each);
      });

      test('--userns=host has the ids of the host, and the image as it is', async () => {
        const script = 'cat /proc/self/uid_map; stat -c %u:%g /bin/busybox /v; id -u';
        const seen = await outputOf(
          daemon,
          script,
          host({ UsernsMode: 'host', Privileged: true, NetworkMode: 'host', PidMode: 'host', Tmpfs: { '/v': '' } }),
        );
        expect(seen.replace(/ +/g, ' ')).toBe('0 0 4294967295\n0:0\n0:0\n0');
      });

      test('IPC of the host', async () => {
        expect(await outputOf(daemon, 'readlink /proc/self/ns/ipc', host({ IpcMode: 'host' }))).toBe(readlinkSync('/proc/self/ns/ipc'));
      });

      test('limits of its cgroup hold', async () => {
        const id = await start(daemon, waiting(host({ PidsLimit: 20 })));
        expect((await execIn(daemon, id, ['sh', '-c', 'for i in $(seq 40); do sleep 5 & done'])).stderr).toContain("can't fork");
        await remove(daemon, id);
      });
    });
  }

  test.each([
    [
      { Privileged: true },
      'privileged mode is incompatible with user namespaces.  You must run the container in the host namespace when running privileged mode',
    ],
    [{ NetworkMode: 'host' }, "cannot share the host's network namespace when user namespaces are enabled"],
    [{ PidMode: 'host' }, 'cannot share the host PID namespace when user namespaces are enabled'],
  ])('%p is refused', async (HostConfig, message) => {
    const answer = await daemon.api.post<{ message: string }>('/containers/create', { Image: 'busybox', HostConfig });
    expect([answer.status, answer.json.message]).toEqual([400, message]);
  });

  test('info says so, and where everything is', async () => {
    const info = await daemon.api.expect<{ SecurityOptions: string[]; DockerRootDir: string }>('GET', '/info');
    expect(info.SecurityOptions).toContain('name=userns');
    expect(info.DockerRootDir).toBe(join(daemon.dataRoot, remappedRoot));
    expect(readdirSync(daemon.dataRoot)).toEqual([remappedRoot]);
    // Nobody but root of the containers passes through.
    const { mode, uid, gid } = lstatSync(info.DockerRootDir);
    expect([mode & 0o777, uid, gid]).toEqual([0o710, 0, remappedUser.gid]);
  });

  test('what runs is found again, with its namespaces, by the next daemon', async () => {
    const id = await start(daemon, waiting());
    const { Pid } = (await inspect(daemon, id)).State;
    await daemon.kill();
    await daemon.start();
    expect((await inspect(daemon, id)).State.Pid).toBe(Pid);
    expect((await execIn(daemon, id, ['id', '-u'])).stdout).toBe('0\n');
    await daemon.api.expect('POST', `/containers/${id}/restart?t=1`);
    expect((await execIn(daemon, id, ['stat', '-c', '%u', '/bin/busybox'])).stdout).toBe('0\n');
    await remove(daemon, id);
  });
});

describe('--userns-remap', () => {
  test('roots with and without a mapping do not meet', async () => {
    await using etc = await startPrivateEtc();
    await using folder = await startDaemon({ besideProcess: etc.pid });
    const images = async (daemon: TestDaemon): Promise<number> => (await daemon.api.expect<unknown[]>('GET', '/images/json')).length;
    expect(await images(folder)).toBe(1);
    await folder.stop();
    await Bun.write(join(folder.folder, 'daemon.json'), JSON.stringify({ 'userns-remap': 'remapped:remapped' }));
    await folder.start();
    expect(await images(folder)).toBe(0);
    await folder.stop();
    await Bun.write(join(folder.folder, 'daemon.json'), '{}');
    await folder.start();
    expect(await images(folder)).toBe(1);
  }, 60_000);

  test('default makes an account and gives it ids of its own', async () => {
    await using etc = await startPrivateEtc();
    await using daemon = await startDaemon({
      args: ['--userns-remap', 'default'],
      besideProcess: etc.pid,
      remappedRoot: '365536.365536',
    });
    expect(readFileSync(`/proc/${String(etc.pid)}/root/etc/subuid`, 'utf8')).toContain('dockremap:365536:65536');
    expect(await outputOf(daemon, 'cat /proc/self/uid_map')).toMatch(/^0\s+365536\s+65536$/);
  }, 60_000);

  test('a folder that bars the way to the data root is named', async () => {
    await using etc = await startPrivateEtc();
    await using folder = await tempFolder();
    const options = {
      args: ['--userns-remap', remappedUser.name],
      besideProcess: etc.pid,
      busybox: false,
      dataRoot: join(folder.path, 'data'),
    };
    expect(await failureOf(startDaemon(options))).toContain(
      `please fix by allowing 'o+x' permissions on existing directories: ${folder.path}`,
    );
  });

  test('an account without ids, or none at all, ends the daemon with the reason', async () => {
    await using etc = await startPrivateEtc();
    for (const [text, reason] of [
      ['daemon', `Can't create ID mappings: no subuid ranges found for user "daemon"`],
      ['nosuchuser', 'Error during uid lookup for "nosuchuser"'],
    ] as const) {
      expect(await failureOf(startDaemon({ args: ['--userns-remap', text], besideProcess: etc.pid, busybox: false }))).toContain(reason);
    }
  }, 60_000);
});
