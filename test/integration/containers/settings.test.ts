import { readlinkSync } from 'node:fs';
import { expect } from 'bun:test';
import { outputOf, runToEnd, sh, sharedDaemon, start, execIn, remove, waiting } from '#test/helpers/containers.ts';
import { tempFolder } from '#test/helpers/daemon.ts';
import { needs } from '#test/helpers/needs.ts';

const { describe, test } = needs('root', 'conmon', 'nft');

/** Each setting of a container, looked at from inside it. */
describe('what a container was asked for', () => {
  const daemon = sharedDaemon();

  test('environment: the image’s, HOSTNAME and the user’s', async () => {
    const env = (await outputOf(daemon(), 'env', { Env: ['ONE=1', 'EMPTY='], Hostname: 'named' })).split('\n');
    expect(env).toContain('PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin');
    expect(env).toContain('HOSTNAME=named');
    expect(env).toContain('HOME=/root');
    expect(env).toContain('ONE=1');
    expect(env).toContain('EMPTY=');
  });

  test('host name, domain name, hosts file', async () => {
    const body = { Hostname: 'me', HostConfig: { ExtraHosts: ['far:10.9.8.7'] } };
    expect(await outputOf(daemon(), 'hostname; cat /etc/hostname; grep far /etc/hosts; grep -c "me$" /etc/hosts', body)).toBe(
      'me\nme\n10.9.8.7\tfar\n1',
    );
  });

  test('resolv.conf takes dns, search and options', async () => {
    const body = { HostConfig: { Dns: ['192.0.2.53'], DnsSearch: ['example.test'], DnsOptions: ['ndots:3'] } };
    const lines = (await outputOf(daemon(), 'cat /etc/resolv.conf', body)).split('\n');
    expect(lines).toContain('nameserver 192.0.2.53');
    expect(lines).toContain('search example.test');
    expect(lines).toContain('options ndots:3');
  });

  test('working directory is made when missing', async () => {
    expect(await outputOf(daemon(), 'pwd', { WorkingDir: '/made/for/me' })).toBe('/made/for/me');
  });

  test('user by number, by name, with group, with more groups', async () => {
    expect(await outputOf(daemon(), 'id -u; id -g', { User: '1000' })).toBe('1000\n0');
    expect(await outputOf(daemon(), 'id -u; id -g', { User: 'daemon' })).toBe('1\n1');
    expect(await outputOf(daemon(), 'id -u; id -g', { User: '12:34' })).toBe('12\n34');
    expect(await outputOf(daemon(), 'id -G', { User: 'nobody:users', HostConfig: { GroupAdd: ['mail', '777'] } })).toBe('100 8 777');
    const id = await daemon().api.post<{ Id: string }>('/containers/create', { Image: 'busybox', Cmd: ['id'], User: 'nobodyknows' });
    const answer = await daemon().api.post<{ message: string }>(`/containers/${id.json.Id}/start`);
    expect(answer.status).toBeGreaterThanOrEqual(400);
    expect(answer.json.message).toContain('unable to find user nobodyknows');
    await remove(daemon(), id.json.Id);
  });

  test('default capabilities; dropped and added ones', async () => {
    const effective = 'sed -n "s/^CapEff:\\t//p" /proc/self/status';
    expect(await outputOf(daemon(), effective)).toBe('00000000a80425fb');
    expect(await outputOf(daemon(), effective, { HostConfig: { CapDrop: ['ALL'] } })).toBe('0000000000000000');
    expect(await outputOf(daemon(), effective, { HostConfig: { CapDrop: ['ALL'], CapAdd: ['NET_ADMIN'] } })).toBe('0000000000001000');
    expect(await outputOf(daemon(), effective, { HostConfig: { CapAdd: ['CAP_SYS_ADMIN'] } })).toBe('00000000a82425fb');
    expect(await outputOf(daemon(), effective, { User: '1000' })).toBe('0000000000000000');
  });

  test('seccomp is on by default, off when unconfined; no-new-privileges', async () => {
    const seccomp = 'sed -n "s/^Seccomp:\\t//p" /proc/self/status';
    expect(await outputOf(daemon(), seccomp)).toBe('2');
    expect(await outputOf(daemon(), seccomp, { HostConfig: { SecurityOpt: ['seccomp=unconfined'] } })).toBe('0');
    const noNewPrivileges = 'sed -n "s/^NoNewPrivs:\\t//p" /proc/self/status';
    expect(await outputOf(daemon(), noNewPrivileges)).toBe('0');
    expect(await outputOf(daemon(), noNewPrivileges, { HostConfig: { SecurityOpt: ['no-new-privileges'] } })).toBe('1');
    const { exitCode } = await runToEnd(daemon(), sh('unshare -m true'));
    expect(exitCode).not.toBe(0);
  });

  test('masked and read-only paths', async () => {
    expect(await outputOf(daemon(), 'ls /sys/firmware | wc -w; grep -c " /proc/sys ro," /proc/self/mountinfo')).toBe('0\n1');
    expect(await outputOf(daemon(), 'echo 1 2>/dev/null >/proc/sys/kernel/sysrq || echo refused')).toBe('refused');
    expect(await outputOf(daemon(), 'mkdir /sys/fs/cgroup/x /sys/fs/cgroup/memory/x 2>/dev/null || echo refused')).toBe('refused');
  });

  test('privileged: all capabilities, devices, nothing masked', async () => {
    const body = { HostConfig: { Privileged: true } };
    const [capabilities = '', devices = '', seccomp] = (
      await outputOf(
        daemon(),
        'sed -n "s/^CapEff:\\t//p" /proc/self/status; ls /dev | wc -w; sed -n "s/^Seccomp:\\t//p" /proc/self/status',
        body,
      )
    ).split('\n');
    expect(Number.parseInt(capabilities, 16)).toBeGreaterThan(0xa80425fb);
    expect(Number(devices)).toBeGreaterThan(20);
    expect(seccomp).toBe('0');
  });

  test('devices: the default ones, and one that was asked for', async () => {
    expect((await outputOf(daemon(), 'cd /dev; ls')).split('\n')).toEqual(
      expect.arrayContaining([
        'fd',
        'full',
        'mqueue',
        'null',
        'ptmx',
        'pts',
        'random',
        'shm',
        'stderr',
        'stdin',
        'stdout',
        'tty',
        'urandom',
        'zero',
      ]),
    );
    const body = { HostConfig: { Devices: [{ PathOnHost: '/dev/zero', PathInContainer: '/dev/nothing', CgroupPermissions: 'r' }] } };
    expect(await outputOf(daemon(), 'test -c /dev/nothing && head -c 4 /dev/nothing | wc -c', body)).toBe('4');
    const refused = await outputOf(daemon(), 'mknod /tmp/k c 1 11 && cat /tmp/k 2>&1 | head -n 1 || true');
    expect(refused).toContain('Operation not permitted');
  });

  test('ulimits, shared memory size, sysctls, oom score', async () => {
    const body = {
      HostConfig: {
        Ulimits: [{ Name: 'nofile', Soft: 123, Hard: 456 }],
        ShmSize: 4194304,
        Sysctls: { 'net.ipv4.ip_unprivileged_port_start': '99' },
        OomScoreAdj: 77,
      },
    };
    const script =
      'ulimit -Sn; ulimit -Hn; df -k /dev/shm | tail -n 1 | awk "{print \\$2}"; cat /proc/sys/net/ipv4/ip_unprivileged_port_start; cat /proc/self/oom_score_adj';
    expect(await outputOf(daemon(), script, body)).toBe('123\n456\n4096\n99\n77');
    expect(await outputOf(daemon(), 'df -k /dev/shm | tail -n 1 | awk "{print \\$2}"')).toBe('65536');
  });

  test('read-only root, tmpfs beside it', async () => {
    const body = { HostConfig: { ReadonlyRootfs: true, Tmpfs: { '/scratch': 'size=1m,mode=1777' } } };
    const script =
      'touch /x 2>/dev/null || echo refused; touch /scratch/x && echo written; df -k /scratch | tail -n 1 | awk "{print \\$2}"; stat -c %a /scratch';
    expect(await outputOf(daemon(), script, body)).toBe('refused\nwritten\n1024\n1777');
  });

  test('init is process 1 and reaps', async () => {
    expect(await outputOf(daemon(), 'cat /proc/1/comm', { HostConfig: { Init: true } })).toMatch(/^(docker-init|tini|berth-init|init)/);
  });

  test('entrypoint and command together', async () => {
    const { stdout } = await runToEnd(daemon(), { Entrypoint: ['echo', 'first'], Cmd: ['second'] });
    expect(stdout).toBe('first second\n');
    expect((await runToEnd(daemon(), { Entrypoint: ['sh', '-c', 'echo alone "$@"'] })).stdout).toBe('alone\n');
  });

  test('namespaces are its own; pid, ipc, uts and network of the host when asked', async () => {
    const own = (kind: string): string => readlinkSync(`/proc/self/ns/${kind}`);
    for (const kind of ['pid', 'ipc', 'uts', 'net', 'mnt']) {
      expect(await outputOf(daemon(), `readlink /proc/self/ns/${kind}`)).not.toBe(own(kind));
    }
    const body = { HostConfig: { PidMode: 'host', IpcMode: 'host', UTSMode: 'host', NetworkMode: 'host' } };
    const inside = await outputOf(daemon(), 'for k in pid ipc uts net; do readlink /proc/self/ns/$k; done', body);
    expect(inside.split('\n')).toEqual(['pid', 'ipc', 'uts', 'net'].map(own));
  });

  test('bind mounts: writable, read-only, made when missing', async () => {
    await using folder = await tempFolder();
    await Bun.write(`${folder.path}/from-host`, 'hello\n');
    const body = { HostConfig: { Binds: [`${folder.path}:/data`, `${folder.path}:/frozen:ro`, `${folder.path}/made:/made`] } };
    expect(
      await outputOf(daemon(), 'cat /data/from-host; echo back >/data/from-container; touch /frozen/x 2>/dev/null || echo refused', body),
    ).toBe('hello\nrefused');
    expect(await Bun.file(`${folder.path}/from-container`).text()).toBe('back\n');
    expect((await Bun.file(`${folder.path}/made`).stat()).isDirectory()).toBe(true);
  });

  test('shares the namespaces of another container', async () => {
    const id = await start(daemon(), waiting(), 'owner');
    const body = { HostConfig: { NetworkMode: 'container:owner', PidMode: 'container:owner', IpcMode: 'shareable' } };
    const theirs = await execIn(daemon(), id, ['sh', '-c', 'readlink /proc/self/ns/net; readlink /proc/self/ns/pid']);
    expect(await outputOf(daemon(), 'readlink /proc/self/ns/net; readlink /proc/self/ns/pid', body)).toBe(theirs.stdout.trim());
    await remove(daemon(), id);
  });
});
