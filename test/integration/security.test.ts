import { existsSync, mkdirSync, readdirSync, readFileSync, readlinkSync, statSync, symlinkSync } from 'node:fs';
import { copyFile, mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect } from 'bun:test';
import { writeDockerArchive } from '../../scripts/docker-archive.ts';
import {
  type ContainerBody,
  create,
  execIn,
  outputOf,
  remove,
  runToEnd,
  sh,
  sharedDaemon,
  start,
  waiting,
} from '#test/helpers/containers.ts';
import { startDaemon } from '#test/helpers/daemon.ts';
import { needs } from '#test/helpers/needs.ts';

const { describe, test } = needs('root', 'conmon', 'nft');
const onX86 = needs('root', 'conmon', 'nft', 'python3', 'x86-64');

const host = (HostConfig: Readonly<Record<string, unknown>>): ContainerBody => ({ HostConfig });
const status = (key: string): string => `sed -n "s/^${key}:\\t//p" /proc/self/status`;

describe('what a container may do', () => {
  const daemon = sharedDaemon();

  test('capabilities are never inheritable or ambient; ALL is all that the daemon may pass on', async () => {
    expect(await outputOf(daemon(), `${status('CapInh')}; ${status('CapAmb')}`)).toBe('0000000000000000\n0000000000000000');
    const bounding = /^CapBnd:\s*(\w+)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '';
    expect(await outputOf(daemon(), status('CapEff'), host({ CapAdd: ['ALL'] }))).toBe(bounding);
    const dropped = await outputOf(daemon(), status('CapBnd'), host({ CapAdd: ['ALL'], CapDrop: ['CHOWN'] }));
    expect(BigInt(`0x${dropped}`)).toBe(BigInt(`0x${bounding}`) & ~1n);
  });

  test('another user holds no capability, and can take none it was not given', async () => {
    expect(await outputOf(daemon(), `${status('CapEff')}; ${status('CapPrm')}; ${status('CapBnd')}`, { User: '1000' })).toBe(
      '0000000000000000\n0000000000000000\n00000000a80425fb',
    );
    expect(await outputOf(daemon(), 'chown 1 /etc/passwd 2>&1 || true; cat /etc/shadow 2>&1 || true', { User: '1000' })).not.toContain(
      'root:',
    );
  });

  test('no new privileges', async () => {
    expect(await outputOf(daemon(), status('NoNewPrivs'))).toBe('0');
    expect(await outputOf(daemon(), status('NoNewPrivs'), host({ SecurityOpt: ['no-new-privileges'] }))).toBe('1');
  });

  test('a disk can be named but not opened', async () => {
    const { exitCode, stderr } = await runToEnd(daemon(), sh('mknod /disk b 8 0 && dd if=/disk of=/dev/null count=1'));
    expect(exitCode).not.toBe(0);
    expect(stderr).toContain('Operation not permitted');
    expect(await outputOf(daemon(), 'mknod /mem c 1 1; dd if=/mem of=/dev/null count=1 2>&1 | grep -c "not permitted"')).toBe('1');
  });

  test('mounting and new namespaces are refused', async () => {
    for (const command of ['mount -t tmpfs x /tmp', 'unshare -m true', 'unshare -U true', 'mount -o remount,rw /sys', 'umount /proc']) {
      const { exitCode } = await runToEnd(daemon(), sh(command));
      expect({ command, refused: exitCode !== 0 }).toEqual({ command, refused: true });
    }
  });

  test('what the kernel shows of the host is masked or read-only', async () => {
    expect(
      await outputOf(
        daemon(),
        'cat /proc/keys /proc/timer_list 2>/dev/null | wc -c; ls /sys/firmware /proc/acpi /proc/scsi 2>/dev/null | grep -v : | wc -w',
      ),
    ).toBe('0\n0');
    for (const path of [
      '/proc/sys/kernel/core_pattern',
      '/proc/sys/kernel/hostname',
      '/proc/sysrq-trigger',
      '/proc/irq/default_smp_affinity',
      '/sys/kernel/uevent_helper',
    ]) {
      const { exitCode, stderr } = await runToEnd(daemon(), sh(`test ! -e ${path} || echo x >${path}`));
      if (exitCode !== 0) expect(stderr).toMatch(/Read-only file system|Permission denied/);
      else expect(existsSync(path)).toBe(false);
    }
  });

  test('its cgroup cannot be left or changed', async () => {
    const script = `
      for file in $(find /sys/fs/cgroup -name cgroup.procs -o -name release_agent -o -name notify_on_release | head -50); do
        (echo 1 >$file) 2>/dev/null && echo "wrote $file"
      done
      mkdir /sys/fs/cgroup/x /sys/fs/cgroup/memory/x 2>/dev/null && echo made
      cut -d : -f 3 /proc/self/cgroup | sort -u`;
    expect(await outputOf(daemon(), script)).toBe('/');
  });

  test('its namespaces are not the host’s unless asked', async () => {
    const kinds = ['pid', 'ipc', 'uts', 'net', 'mnt', 'cgroup'];
    const seen = async (body: ContainerBody): Promise<string[]> =>
      (await outputOf(daemon(), kinds.map(kind => `readlink /proc/self/ns/${kind}`).join('; '), body)).split('\n');
    const ours = kinds.map(kind => readlinkSync(`/proc/self/ns/${kind}`));
    expect((await seen({})).filter(namespace => ours.includes(namespace))).toEqual([]);
    const shared = await seen(host({ PidMode: 'host', IpcMode: 'host', UTSMode: 'host', NetworkMode: 'host', CgroupnsMode: 'host' }));
    expect(shared.filter(namespace => !ours.includes(namespace))).toHaveLength(1);
  });

  test('a read-only root is read-only everywhere but where something else is mounted', async () => {
    const script = 'for at in / /etc /tmp /root; do touch $at/x 2>/dev/null && echo $at; done; touch /dev/shm/x /scratch/x && echo rest';
    expect(await outputOf(daemon(), script, host({ ReadonlyRootfs: true, Tmpfs: { '/scratch': '' } }))).toBe('rest');
    expect(await outputOf(daemon(), 'echo x 2>/dev/null >/etc/hosts || echo refused', host({ ReadonlyRootfs: true }))).toBe('refused');
  });

  test('devices of the host keep their owners, whoever a container runs as', async () => {
    const owner = (): string => `${String(statSync('/dev/null').uid)}:${String(statSync('/dev/null').gid)}`;
    const before = owner();
    for (const Tty of [false, true]) {
      const id = await start(daemon(), waiting({ User: '1000', Tty }));
      await execIn(daemon(), id, ['true'], { User: '1001' });
      await execIn(daemon(), id, ['true'], { User: '1001', Tty: true });
      await remove(daemon(), id);
    }
    expect(owner()).toBe(before);
  });

  test('hosts, hostname and resolv.conf are its own files', async () => {
    const before = ['/etc/hosts', '/etc/hostname', '/etc/resolv.conf'].map(path => readFileSync(path, 'utf8'));
    await outputOf(daemon(), 'for file in hosts hostname resolv.conf; do echo "# container" >>/etc/$file; done');
    expect(['/etc/hosts', '/etc/hostname', '/etc/resolv.conf'].map(path => readFileSync(path, 'utf8'))).toEqual(before);
    const { stderr } = await runToEnd(daemon(), sh('rm /etc/hosts'));
    expect(stderr).toContain('busy');
  });

  test('user namespaces that are not there are refused in words', async () => {
    const answer = await daemon().api.post<{ message: string }>('/containers/create', {
      Image: 'busybox',
      HostConfig: { UsernsMode: 'remap' },
    });
    expect(answer.status).toBe(400);
    expect(answer.json.message).toBe('invalid user namespace mode: remap');
  });

  test('what a client signs in to a registry with is in no log', async () => {
    const auth = Buffer.from(JSON.stringify({ username: 'somebody', password: 'very-secret-word' })).toString('base64url');
    await daemon().api.call('POST', '/images/create?fromImage=127.0.0.1:1/x&tag=1', { headers: { 'X-Registry-Auth': auth } });
    await daemon().api.call('POST', '/auth', {
      body: { username: 'somebody', password: 'very-secret-word', serveraddress: '127.0.0.1:1' },
    });
    const log = readFileSync(daemon().logPath, 'utf8');
    expect(log).not.toContain('very-secret-word');
    expect(log).not.toContain(auth);
  });
});

onX86.describe('system calls', () => {
  const daemon = sharedDaemon();

  // Read-only: the interpreter of this machine.
  const interpreter = { Binds: ['/usr:/usr:ro', '/usr/lib:/lib:ro', '/usr/lib64:/lib64:ro'] };
  const calls = {
    unshare: [272, 0x20000],
    mount: [165],
    setns: [308],
    clone3: [435],
    keyctl: [250],
    add_key: [248],
    bpf: [321],
    kexec_load: [246],
    userfaultfd: [323],
    open_by_handle_at: [304],
    getpid: [39],
  } as const;
  const program = `import ctypes
libc = ctypes.CDLL(None, use_errno=True)
for name, number in ${JSON.stringify(Object.entries(calls))}:
    ctypes.set_errno(0)
    libc.syscall(*number, *([0] * (6 - len(number) + 1)))
    print(name, ctypes.get_errno())`;

  const verdicts = async (HostConfig: Readonly<Record<string, unknown>> = {}): Promise<Record<string, number>> => {
    const { stdout, stderr } = await runToEnd(daemon(), {
      Cmd: ['/usr/bin/python3', '-c', program],
      HostConfig: { ...interpreter, ...HostConfig },
    });
    if (stdout === '') throw new Error(stderr);
    return Object.fromEntries(
      stdout
        .trim()
        .split('\n')
        .map(line => [line.split(' ')[0] ?? '', Number(line.split(' ')[1])]),
    );
  };
  const eperm = 1;
  const enosys = 38;

  test('the built-in profile refuses what a container has no business with', async () => {
    const { getpid, clone3, ...refused } = await verdicts();
    expect(getpid).toBe(0);
    expect(clone3).toBe(enosys);
    for (const [name, errno] of Object.entries(refused)) expect({ name, errno }).toEqual({ name, errno: eperm });
  });

  test('a profile of one’s own decides alone', async () => {
    const profile = JSON.stringify({
      defaultAction: 'SCMP_ACT_ALLOW',
      archMap: [{ architecture: 'SCMP_ARCH_X86_64', subArchitectures: ['SCMP_ARCH_X86'] }],
      syscalls: [
        { names: ['getpid'], action: 'SCMP_ACT_ERRNO', errnoRet: 5 },
        { names: ['bpf'], action: 'SCMP_ACT_ERRNO', errnoRet: 6, includes: { caps: ['CAP_SYS_ADMIN'] } },
        {
          names: ['keyctl'],
          action: 'SCMP_ACT_ERRNO',
          errnoRet: 7,
          excludes: { caps: ['CAP_SYS_ADMIN'] },
          includes: { arches: ['amd64'] },
        },
      ],
    });
    const { getpid, bpf, keyctl, clone3 } = await verdicts({ SecurityOpt: [`seccomp=${profile}`] });
    expect([getpid, keyctl]).toEqual([5, 7]);
    expect(bpf).not.toBe(6);
    expect(clone3).not.toBe(enosys);
  });
});

describe('an image that plays tricks', () => {
  const daemon = sharedDaemon();
  let folder: string;
  let outside: string;

  beforeAll(async () => {
    folder = await mkdtemp('/tmp/berth-f-');
    outside = join(folder, 'outside');
    const rootfs = join(folder, 'rootfs');
    mkdirSync(outside);
    mkdirSync(join(rootfs, 'bin'), { recursive: true });
    mkdirSync(join(rootfs, 'etc'));
    await copyFile('/bin/busybox', join(rootfs, 'bin/busybox'));
    symlinkSync('busybox', join(rootfs, 'bin/sh'));
    symlinkSync(outside, join(rootfs, 'absolute'));
    symlinkSync(`../../../../../..${outside}`, join(rootfs, 'climbing'));
    symlinkSync(join(outside, 'passwd'), join(rootfs, 'etc/passwd'));
    await Bun.write(join(outside, 'passwd'), 'intruder:x:0:0::/:/bin/sh\n');
    await writeDockerArchive({ tag: 'tricks:1', rootfs, cmd: ['true'] }, join(folder, 'tricks.tar'));
    await daemon().load(join(folder, 'tricks.tar'));
  }, 60_000);
  afterAll(async () => await rm(folder, { recursive: true, force: true }));

  const tricky = (more: ContainerBody): ContainerBody => ({
    Image: 'tricks:1',
    Cmd: ['/bin/sh', '-c', '/bin/busybox pwd; /bin/busybox touch here'],
    ...more,
  });
  const untouched = (): void => expect(readdirSync(outside)).toEqual(['passwd']);

  test('working directories behind links are made inside', async () => {
    for (const link of ['/absolute', '/climbing']) {
      const { exitCode } = await runToEnd(daemon(), tricky({ WorkingDir: `${link}/made` }));
      untouched();
      expect(exitCode).toBe(0);
    }
  });

  test('mounts behind links are mounted inside', async () => {
    for (const link of ['/absolute', '/climbing']) {
      const id = await create(daemon(), tricky({ HostConfig: { Binds: [`tricks:${link}/volume`], Tmpfs: { [`${link}/scratch`]: '' } } }));
      await daemon().api.post(`/containers/${id}/start`);
      await daemon().api.expect('POST', `/containers/${id}/wait`);
      untouched();
      await remove(daemon(), id);
    }
    await daemon().api.delete('/volumes/tricks?force=1');
  });

  test('users are looked up in the image, not on the host', async () => {
    const id = await create(daemon(), tricky({ User: 'intruder' }));
    const answer = await daemon().api.post<{ message: string }>(`/containers/${id}/start`);
    expect(answer.json.message).toContain('unable to find user intruder');
    await remove(daemon(), id);
  });
});

describe('settings of the daemon', () => {
  test('--no-new-privileges and --seccomp-profile hold for containers that say nothing', async () => {
    const folder = await mkdtemp('/tmp/berth-f-');
    try {
      const profile = join(folder, 'profile.json');
      await Bun.write(
        profile,
        JSON.stringify({ defaultAction: 'SCMP_ACT_ALLOW', syscalls: [{ names: ['sethostname'], action: 'SCMP_ACT_ERRNO', errnoRet: 5 }] }),
      );
      await using daemon = await startDaemon({ args: ['--no-new-privileges', '--seccomp-profile', profile] });
      expect(await outputOf(daemon, status('NoNewPrivs'))).toBe('1');
      expect(await outputOf(daemon, status('NoNewPrivs'), host({ SecurityOpt: ['no-new-privileges=false'] }))).toBe('0');
      expect(await outputOf(daemon, 'hostname x 2>&1 || true')).toContain('Input/output error');
      expect(await outputOf(daemon, 'hostname x 2>&1 || true', host({ SecurityOpt: ['seccomp=builtin'] }))).toContain('not permitted');
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  }, 30_000);
});
