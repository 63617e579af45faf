import { mkdirSync, readdirSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect } from 'bun:test';
import { create, inspect, outputOf, remove, runToEnd, sh, sharedDaemon, start, waiting } from '#test/helpers/containers.ts';
import { type Dockerd, startDockerd } from '#test/helpers/dockerd.ts';
import { needs } from '#test/helpers/needs.ts';

const { describe, test } = needs('root', 'conmon', 'nft', 'crun', 'runc');

const host = (HostConfig: Readonly<Record<string, unknown>>) => ({ HostConfig });
/** Read-only: the interpreter of this machine. */
const interpreter = ['/usr:/usr:ro', '/usr/lib:/lib:ro', '/usr/lib64:/lib64:ro'];

needs('root', 'conmon', 'nft', 'python3', 'x86-64', 'dockerd').describe('system calls beside dockerd', () => {
  // Numbers of x86-64. Each is tried with arguments that do nothing where it is allowed.
  const calls: Readonly<Record<string, readonly number[]>> = {
    acct: [163],
    add_key: [248],
    adjtimex: [159],
    bpf: [321],
    clock_adjtime: [305, 0],
    clock_settime: [227],
    clone3: [435],
    create_module: [174],
    delete_module: [176],
    finit_module: [313],
    fsopen: [430],
    fsmount: [432],
    get_mempolicy: [239],
    init_module: [175],
    io_uring_setup: [425],
    ioperm: [173],
    iopl: [172],
    kcmp: [312],
    kexec_load: [246],
    keyctl: [250],
    lookup_dcookie: [212],
    mbind: [237],
    mount: [165],
    mount_setattr: [442],
    move_mount: [429],
    move_pages: [279],
    name_to_handle_at: [303],
    open_by_handle_at: [304],
    open_tree: [428],
    perf_event_open: [298],
    personality: [135, 0xffffffff],
    pidfd_open: [434],
    pivot_root: [155],
    process_vm_readv: [310],
    ptrace: [101],
    quotactl: [179],
    reboot: [169],
    request_key: [249],
    set_mempolicy: [238],
    setdomainname: [171],
    sethostname: [170],
    setns: [308],
    settimeofday: [164],
    swapoff: [168],
    swapon: [167],
    syslog: [103],
    umount2: [166],
    unshare: [272, 0x10000000],
    userfaultfd: [323],
    uselib: [134],
    ustat: [136],
    vhangup: [153],
    getpid: [39],
    openat2: [437],
    statx: [332],
  };
  const program = `import ctypes
libc = ctypes.CDLL(None, use_errno=True)
for name, number in ${JSON.stringify(Object.entries(calls))}:
    ctypes.set_errno(0)
    libc.syscall(*number, *([0] * (7 - len(number))))
    print(name, {1: 'EPERM', 38: 'ENOSYS'}.get(ctypes.get_errno(), 'allowed'))`;
  let docker: Dockerd;
  beforeAll(async () => {
    docker = await startDockerd();
  }, 60_000);
  afterAll(async () => await docker?.[Symbol.asyncDispose](), 60_000);
  // After dockerd, which would put groups into the controllers that the daemon mounts, and so keep them mounted after it.
  const daemon = sharedDaemon({ comparesMachine: false });

  test.each([[[]], [['--cap-add', 'SYS_ADMIN']], [['--cap-add', 'SYS_PTRACE']], [['-u', '1000']]])(
    'verdicts with %p are those of dockerd',
    async flags => {
      const args = ['run', '--rm', ...flags, ...interpreter.flatMap(bind => ['-v', bind]), 'busybox', '/usr/bin/python3', '-c', program];
      const [own, theirs] = await Promise.all([daemon().docker(args), docker.docker(args)]);
      expect(own.exitCode).toBe(0);
      const table = (text: string): Record<string, string> =>
        Object.fromEntries(
          text
            .trim()
            .split('\n')
            .map(line => line.split(' ') as [string, string]),
        );
      const [ours, reference] = [table(own.stdout), table(theirs.stdout)];
      expect(Object.keys(ours)).toEqual(Object.keys(calls));
      // What the newer profile, which Berth has, took away or let in since.
      for (const name of newer) {
        Reflect.deleteProperty(ours, name);
        Reflect.deleteProperty(reference, name);
      }
      expect(ours).toEqual(reference);
    },
    60_000,
  );
  const newer = ['io_uring_setup', 'name_to_handle_at', 'process_vm_readv'];
});

describe('what containers cannot reach', () => {
  const daemon = sharedDaemon();

  test.each(['crun', 'runc'])('keys of the host, with %s: each has a session keyring of its own', async Runtime => {
    const unconfined = host({ Runtime, SecurityOpt: ['seccomp=unconfined', 'systempaths=unconfined'], Binds: interpreter });
    const script = `import ctypes
libc = ctypes.CDLL(None)
text = ctypes.create_string_buffer(200)
libc.syscall(250, 6, -3, text, 200)
print(text.value.decode().split(';')[-1])`;
    const seen = await runToEnd(daemon(), { Cmd: ['/usr/bin/python3', '-c', script], ...unconfined });
    expect(seen.stdout).toContain(seen.id);
  });

  test('release_agent, with everything but privileges', async () => {
    const script = `
      mkdir /tmp/x 2>/dev/null; mount -t cgroup -o memory none /tmp/x 2>/dev/null && echo mounted
      for file in $(find /sys/fs/cgroup -name release_agent 2>/dev/null); do (echo /x >$file) 2>/dev/null && echo "wrote $file"; done
      (echo 1 >/proc/sys/kernel/core_pattern) 2>/dev/null && echo core
      (echo b >/proc/sysrq-trigger) 2>/dev/null && echo sysrq
      (echo /x >/sys/kernel/uevent_helper) 2>/dev/null && echo uevent
      for file in /sys/kernel/mm/transparent_hugepage/enabled /sys/class/net/lo/mtu /sys/module/*/parameters/*; do
        (echo 1 >$file) 2>/dev/null && echo "wrote $file"
      done
      echo done`;
    expect(await outputOf(daemon(), script, host({ CapAdd: ['DAC_OVERRIDE', 'DAC_READ_SEARCH', 'NET_ADMIN'] }))).toBe('done');
  });

  test('shared memory of others, and more of it than allowed', async () => {
    const one = await start(daemon(), waiting());
    expect(await outputOf(daemon(), 'ls /dev/shm /dev/mqueue | grep -v :; grep " /dev/shm " /proc/mounts | cut -d " " -f 4')).toMatch(
      /^\s*rw,nosuid,nodev,noexec,/,
    );
    const { exitCode } = await runToEnd(daemon(), sh('dd if=/dev/zero of=/dev/shm/x bs=1M count=2', host({ ShmSize: 1024 * 1024 })));
    expect(exitCode).not.toBe(0);
    await remove(daemon(), one);
  });

  test('processes of others', async () => {
    const one = await start(daemon(), waiting());
    const { Pid } = (await inspect(daemon(), one)).State;
    expect(await outputOf(daemon(), `kill -0 ${String(Pid)} 2>/dev/null && echo seen; ls /proc | grep -c "^[0-9]"`)).toMatch(/^[1-5]$/);
    await remove(daemon(), one);
  });

  test('raw disks, memory and ports, also by the numbers of devices', async () => {
    const nodes = ['b 8 0', 'b 254 0', 'c 1 1', 'c 1 4', 'c 10 200', 'c 10 229', 'c 5 3'];
    const script = nodes
      .map((node, at) => `mknod /n${String(at)} ${node} && (exec 3<>/n${String(at)}) 2>/dev/null && echo opened ${node}`)
      .join('\n');
    expect(await outputOf(daemon(), `${script}\necho done`)).toBe('done');
  });
});

describe('paths that change while they are looked at', () => {
  const daemon = sharedDaemon();
  let outside: string;
  beforeAll(async () => {
    outside = await mkdtemp('/tmp/berth-f-');
    writeFileSync(join(outside, 'marker'), 'of the host');
  });
  afterAll(async () => await rm(outside, { recursive: true, force: true }));

  test('a subpath of a volume that somebody swaps for a link never leads out of it', async () => {
    await daemon().api.expect('POST', '/volumes/create', { body: { Name: 'racing' } });
    const swapper = await start(
      daemon(),
      sh(
        `mkdir -p /v/real; touch /v/real/inside; ln -s ${outside} /v/link; ln -s ../../../../../../../../..${outside} /v/up
         while :; do mv -T /v/real /v/sub; mv -T /v/sub /v/real; mv -T /v/link /v/sub; mv -T /v/sub /v/link; mv -T /v/up /v/sub; mv -T /v/sub /v/up; done`,
        host({ Binds: ['racing:/v'] }),
      ),
    );
    let mounted = 0;
    for (let tries = 0; tries < 40; tries += 1) {
      const id = await create(
        daemon(),
        sh(
          'ls /here',
          host({
            Runtime: tries % 2 === 0 ? 'crun' : 'runc',
            Mounts: [{ Type: 'volume', Source: 'racing', Target: '/here', VolumeOptions: { Subpath: 'sub' } }],
          }),
        ),
      );
      const { status } = await daemon().api.post(`/containers/${id}/start`);
      if (status === 204) {
        mounted += 1;
        await daemon().api.expect('POST', `/containers/${id}/wait`);
        const { stdout } = await daemon()
          .api.expect<string>('GET', `/containers/${id}/logs?stdout=1`)
          .then(
            text => ({ stdout: String(text) }),
            () => ({ stdout: '' }),
          );
        expect(stdout).not.toContain('marker');
      }
      await remove(daemon(), id);
    }
    await remove(daemon(), swapper);
    expect(readdirSync(outside)).toEqual(['marker']);
    expect(readdirSync(join(daemon().execRoot, 'pins'))).toEqual([]);
    expect(mounted).toBeLessThanOrEqual(40);
    await daemon().api.expect('DELETE', '/volumes/racing?force=1');
  }, 120_000);

  test('links in a volume that lead to the host lead nowhere', async () => {
    const { Mountpoint } = await daemon().api.expect<{ Mountpoint: string }>('POST', '/volumes/create', { body: { Name: 'linked' } });
    symlinkSync(outside, join(Mountpoint, 'absolute'));
    symlinkSync(`../../../../../../..${outside}`, join(Mountpoint, 'climbing'));
    mkdirSync(join(Mountpoint, 'real'));
    symlinkSync('real', join(Mountpoint, 'inner'));
    const mount = (Subpath: string) =>
      host({ Mounts: [{ Type: 'volume', Source: 'linked', Target: '/here', VolumeOptions: { Subpath } }] });
    for (const path of ['absolute', 'climbing']) {
      const id = await create(daemon(), sh('ls /here', mount(path)));
      const answer = await daemon().api.post<{ message: string }>(`/containers/${id}/start`);
      expect(answer.json.message).toContain(`has no subpath "${path}"`);
      await remove(daemon(), id);
    }
    expect(await outputOf(daemon(), 'ls /here; touch /here/x', mount('inner'))).toBe('');
    expect(readdirSync(join(Mountpoint, 'real'))).toEqual(['x']);
    await daemon().api.expect('DELETE', '/volumes/linked');
  });

  test('removing a container with a part of a volume leaves the volume whole', async () => {
    const { Mountpoint } = await daemon().api.expect<{ Mountpoint: string }>('POST', '/volumes/create', { body: { Name: 'kept' } });
    mkdirSync(join(Mountpoint, 'part'));
    writeFileSync(join(Mountpoint, 'part/data'), 'data');
    const mounts = host({ Mounts: [{ Type: 'volume', Source: 'kept', Target: '/here', VolumeOptions: { Subpath: 'part' } }] });
    const id = await start(daemon(), waiting(mounts));
    await daemon().kill();
    await daemon().start();
    await remove(daemon(), id);
    expect(readdirSync(join(Mountpoint, 'part'))).toEqual(['data']);
    await daemon().api.expect('DELETE', '/volumes/kept');
  });
});

describe('the daemon’s own files', () => {
  const daemon = sharedDaemon();

  test('are for root alone: data, state, logs, bundles', async () => {
    const id = await start(daemon(), waiting({ Env: ['SECRET=word'] }));
    const open = (path: string): boolean => (statSync(path).mode & 0o007) !== 0;
    for (const path of [daemon().dataRoot, daemon().execRoot]) expect({ path, open: open(path) }).toEqual({ path, open: false });
    expect(statSync(daemon().socketPath).mode & 0o777).toBe(0o660);
    expect(await daemon().log()).not.toContain('SECRET=word');
    await remove(daemon(), id);
  });
});
