import { afterAll, beforeAll, expect } from 'bun:test';
import { startDaemon, type TestDaemon } from '#test/helpers/daemon.ts';
import { type Dockerd, startDockerd } from '#test/helpers/dockerd.ts';
import { needs } from '#test/helpers/needs.ts';
import type { RunResult } from '#test/helpers/run.ts';

const { describe, test } = needs('root', 'conmon', 'nft', 'dockerd');

/** One command line of `docker run --rm` each, given to both: same output, same exit code, same words. */
const rows: readonly (readonly string[])[] = [
  // What runs.
  ['busybox', 'echo', 'hello'],
  ['busybox', 'sh', '-c', 'echo out; echo err >&2; exit 3'],
  ['busybox', '/no/such/program'],
  ['busybox', 'nosuchprogram'],
  ['busybox', '/etc/passwd'],
  ['busybox', 'sh', '-c', 'kill -9 $$'],
  ['--entrypoint', 'echo', 'busybox', 'one', 'two'],
  ['--entrypoint', '', 'busybox', 'echo', 'x'],
  ['--entrypoint', '/bin/true', 'busybox'],
  // Process.
  ['-e', 'A=1', '-e', 'PATH=/bin', 'busybox', 'sh', '-c', 'env | grep -v HOSTNAME | sort'],
  ['-e', '=x', 'busybox', 'true'],
  ['-w', '/made/here', 'busybox', 'pwd'],
  ['-w', 'relative', 'busybox', 'pwd'],
  ['-w', '/etc/passwd', 'busybox', 'pwd'],
  ['-u', '1000', 'busybox', 'id'],
  ['-u', '1000:50', 'busybox', 'id'],
  ['-u', 'daemon', 'busybox', 'id'],
  ['-u', 'nosuchuser', 'busybox', 'id'],
  ['-u', 'root:nosuchgroup', 'busybox', 'id'],
  ['-u', '99999999999', 'busybox', 'id'],
  ['-u', '1:1', '--group-add', '7', '--group-add', 'users', 'busybox', 'id'],
  ['--group-add', 'nosuchgroup', 'busybox', 'id'],
  ['-h', 'me', 'busybox', 'sh', '-c', 'hostname; cat /etc/hostname; tail -1 /etc/hosts | cut -f 2'],
  ['-h', 'me.example.test', 'busybox', 'sh', '-c', 'hostname; tail -1 /etc/hosts | cut -f 2'],
  ['--domainname', 'example.test', '-h', 'me', 'busybox', 'sh', '-c', 'hostname; tail -1 /etc/hosts | cut -f 2'],
  ['-t', 'busybox', 'tty'],
  ['-i', 'busybox', 'cat'],
  ['--init', 'busybox', 'ps', '-o', 'args'],
  ['--stop-signal', 'NOPE', 'busybox', 'true'],
  ['--group-add', '-1', 'busybox', 'id'],
  ['--domainname', 'example.com', 'busybox', 'cat', '/proc/sys/kernel/domainname'],
  ['--stop-timeout', 'x', 'busybox', 'true'],
  ['--label', 'a', 'busybox', 'true'],
  ['--env-file', '/no/such', 'busybox', 'true'],
  ['--label-file', '/no/such', 'busybox', 'true'],
  ['--init', '--pid', 'host', 'busybox', 'true'],
  ['--detach-keys', 'nope', 'busybox', 'true'],
  ['--label', 'a=b', 'busybox', 'true'],
  ['--ulimit', 'nofile=100:200', 'busybox', 'sh', '-c', 'ulimit -Sn; ulimit -Hn'],
  ['--ulimit', 'nofile=200:100', 'busybox', 'true'],
  ['--ulimit', 'nope=1', 'busybox', 'true'],
  ['--oom-score-adj', '500', 'busybox', 'cat', '/proc/self/oom_score_adj'],
  ['--oom-score-adj', '5000', 'busybox', 'true'],
  // Files.
  ['--read-only', 'busybox', 'sh', '-c', 'touch /x; touch /etc/hosts && echo hosts; touch /dev/shm/x && echo shm'],
  ['--tmpfs', '/t', 'busybox', 'sh', '-c', 'grep " /t " /proc/mounts | cut -d " " -f 3,4 | cut -d , -f 1-4'],
  ['--tmpfs', '/t:size=1m,exec,mode=700', 'busybox', 'sh', '-c', 'df -k /t | tail -1 | tr -s " " | cut -d " " -f 2; stat -c %a /t'],
  ['--tmpfs', '/t:loud', 'busybox', 'true'],
  ['--tmpfs', 'relative', 'busybox', 'true'],
  ['--shm-size', '1m', 'busybox', 'sh', '-c', 'df -k /dev/shm | tail -1 | tr -s " " | cut -d " " -f 2'],
  ['--mount', 'type=bind,source=/no/such/source,target=/x', 'busybox', 'true'],
  ['--mount', 'type=bind,source=/etc,target=relative', 'busybox', 'true'],
  [
    '--mount',
    'type=tmpfs,target=/t,tmpfs-size=1m,tmpfs-mode=1700',
    'busybox',
    'sh',
    '-c',
    'df -k /t | tail -1 | tr -s " " | cut -d " " -f 2; stat -c %a /t',
  ],
  ['-v', '/etc:/host:ro', 'busybox', 'sh', '-c', 'touch /host/berth-test; test -f /host/passwd && echo there'],
  ['-v', '/etc:/host:fast', 'busybox', 'true'],
  ['-v', '/etc:host', 'busybox', 'true'],
  ['-v', '/etc:/', 'busybox', 'true'],
  ['-v', 'bad name:/x', 'busybox', 'true'],
  ['-v', '/etc:/x', '-v', '/usr:/x', 'busybox', 'true'],
  ['-v', '/v', 'busybox', 'sh', '-c', 'stat -c "%a %u" /v; touch /v/x && echo written'],
  ['--volumes-from', 'nosuch', 'busybox', 'true'],
  ['--volumes-from', '', 'busybox', 'true'],
  ['--volumes-from', 'nosuch:nope', 'busybox', 'true'],
  ['--volumes-from', 'nosuch:ro:rw', 'busybox', 'true'],
  ['--volumes-from', 'nosuch:nocopy', 'busybox', 'true'],
  ['--volumes-from', 'nosuch:rshared', 'busybox', 'true'],
  ['--mount', 'type=volume,dst=/x,readonly', 'busybox', 'touch', '/x/y'],
  // Security.
  ['busybox', 'grep', 'Cap', '/proc/self/status'],
  ['--cap-drop', 'ALL', 'busybox', 'grep', 'Cap', '/proc/self/status'],
  ['--cap-add', 'NET_ADMIN', '--cap-drop', 'CHOWN', 'busybox', 'grep', 'Cap', '/proc/self/status'],
  ['--cap-add', 'FLY', 'busybox', 'true'],
  ['-u', '1000', 'busybox', 'grep', 'Cap', '/proc/self/status'],
  ['--security-opt', 'no-new-privileges', 'busybox', 'grep', 'NoNewPrivs', '/proc/self/status'],
  ['busybox', 'grep', 'Seccomp:', '/proc/self/status'],
  ['--security-opt', 'seccomp=unconfined', 'busybox', 'grep', 'Seccomp:', '/proc/self/status'],
  ['--security-opt', 'nope', 'busybox', 'true'],
  ['--security-opt', 'seccomp:unconfined', 'busybox', 'grep', 'Seccomp:', '/proc/self/status'],
  ['--security-opt', 'seccomp=/no/such/file', 'busybox', 'true'],
  ['--security-opt', 'seccomp=/etc/passwd', 'busybox', 'true'],
  ['--security-opt', 'no-new-privileges:true', 'busybox', 'grep', 'NoNewPrivs', '/proc/self/status'],
  ['--security-opt', 'no-new-privileges:false', 'busybox', 'grep', 'NoNewPrivs', '/proc/self/status'],
  ['--security-opt', 'no-new-privileges=nope', 'busybox', 'true'],
  ['--security-opt', 'systempaths=unconfined', 'busybox', 'sh', '-c', 'mount | grep -c " /proc/"'],
  ['--security-opt', 'systempaths=nope', 'busybox', 'true'],
  ['--security-opt', 'apparmor=unconfined', 'busybox', 'true'],
  ['--security-opt', 'apparmor=docker-default', 'busybox', 'true'],
  ['--security-opt', 'apparmor=nosuch', 'busybox', 'true'],
  ['--security-opt', 'apparmor', 'busybox', 'true'],
  ['--security-opt', 'label=disable', 'busybox', 'true'],
  ['--security-opt', 'label=type:x', 'busybox', 'true'],
  ['--security-opt', 'label=nope', 'busybox', 'true'],
  ['--security-opt', 'label', 'busybox', 'true'],
  ['--security-opt', 'disable', 'busybox', 'true'],
  ['--cap-add', 'cap_net_admin', 'busybox', 'grep', 'CapEff', '/proc/self/status'],
  ['--security-opt', 'nope=1', 'busybox', 'true'],
  ['busybox', 'unshare', '-m', 'true'],
  ['busybox', 'mount', '-t', 'tmpfs', 'x', '/mnt'],
  ['busybox', 'sh', '-c', 'echo 1 >/proc/sys/kernel/panic'],
  ['busybox', 'sh', '-c', 'mknod /x b 8 0 && dd if=/x of=/dev/null count=1'],
  ['--userns', 'nope', 'busybox', 'true'],
  // Namespaces.
  ['--pid', 'nope', 'busybox', 'true'],
  ['--pid', 'container:nosuch', 'busybox', 'true'],
  ['--ipc', 'nope', 'busybox', 'true'],
  ['--ipc', 'container:nosuch', 'busybox', 'true'],
  ['--ipc', 'none', 'busybox', 'ls', '/dev/shm'],
  ['--uts', 'host', '-h', 'me', 'busybox', 'true'],
  ['--uts', 'nope', 'busybox', 'true'],
  ['--pid', 'host', 'busybox', 'sh', '-c', 'test -d /proc/2 && echo seen'],
  // Network.
  ['--network', 'none', 'busybox', 'ls', '/sys/class/net'],
  ['--network', 'container:nosuch', 'busybox', 'true'],
  ['--network', 'container:nosuch', '-h', 'me', 'busybox', 'true'],
  ['--network', 'container:nosuch', '-p', '80', 'busybox', 'true'],
  ['--network', 'host', '--link', 'x', 'busybox', 'true'],
  ['--link', 'nosuch', 'busybox', 'true'],
  ['--add-host', 'far:10.1.2.3', 'busybox', 'grep', 'far', '/etc/hosts'],
  ['--add-host', 'far:nowhere', 'busybox', 'true'],
  ['--dns', '192.0.2.1', '--dns-search', 'example.test', '--dns-option', 'ndots:2', 'busybox', 'sh', '-c', 'sort /etc/resolv.conf'],
  ['--dns', 'nope', 'busybox', 'true'],
  ['-p', 'nope:80', 'busybox', 'true'],
  ['--ip', '10.1.2.3', 'busybox', 'true'],
  ['--network-alias', 'x', 'busybox', 'true'],
  ['--mac-address', 'nope', 'busybox', 'true'],
  ['--network', 'host', '--ip', '10.1.2.3', 'busybox', 'true'],
  ['--ip6', 'fe80::1', 'busybox', 'true'],
  ['--ip', 'nope', 'busybox', 'true'],
  ['--link-local-ip', '169.254.1.1', 'busybox', 'true'],
  ['--link-local-ip', 'nope', 'busybox', 'true'],
  ['--link', 'a:b:c', 'busybox', 'true'],
  ['--link', ':x', 'busybox', 'true'],
  ['--link', '', 'busybox', 'true'],
  ['--expose', 'nope', 'busybox', 'true'],
  ['--network', 'bridge,nope=1', 'busybox', 'true'],
  // Resources.
  ['-m', '4m', 'busybox', 'true'],
  ['-m', '1k', 'busybox', 'true'],
  ['-m', '32m', '--memory-swap', '16m', 'busybox', 'true'],
  ['--memory-swap', '32m', 'busybox', 'true'],
  ['-m', '32m', '--memory-reservation', '64m', 'busybox', 'true'],
  ['--memory-swappiness', '101', 'busybox', 'true'],
  ['--cpus', '1000', 'busybox', 'true'],
  ['--cpus', '1', '--cpu-period', '1000', 'busybox', 'true'],
  ['--cpu-period', '1', 'busybox', 'true'],
  ['--cpu-quota', '1', 'busybox', 'true'],
  ['--cpuset-cpus', '4000', 'busybox', 'true'],
  ['--cpuset-cpus', 'x', 'busybox', 'true'],
  ['--blkio-weight', '5', 'busybox', 'true'],
  ['--pids-limit', '50', 'busybox', 'true'],
  ['--device', '/dev/null:/dev/nothing', 'busybox', 'sh', '-c', 'stat -c "%t %T" /dev/nothing'],
  ['--device', '/dev/nosuch', 'busybox', 'true'],
  ['--device', '/etc/passwd', 'busybox', 'true'],
  ['--device-cgroup-rule', 'nope', 'busybox', 'true'],
  ['--gpus', 'all', 'busybox', 'true'],
  ['--sysctl', 'net.ipv4.ip_forward=1', 'busybox', 'cat', '/proc/sys/net/ipv4/ip_forward'],
  ['--sysctl', 'kernel.nosuch=1', 'busybox', 'true'],
  ['--sysctl', 'kernel.msgmax=9000', 'busybox', 'cat', '/proc/sys/kernel/msgmax'],
  ['--sysctl', 'fs.mqueue.msg_max=20', 'busybox', 'cat', '/proc/sys/fs/mqueue/msg_max'],
  ['--sysctl', 'net/ipv4/ip_forward=1', 'busybox', 'true'],
  ['--sysctl', 'kernel.panic=1', 'busybox', 'true'],
  ['--sysctl', 'vm.swappiness=1', 'busybox', 'true'],
  ['--sysctl', 'kernel.hostname=x', 'busybox', 'hostname'],
  ['--sysctl', 'kernel.hostname=x', '--uts', 'host', 'busybox', 'true'],
  ['--sysctl', 'nope', 'busybox', 'true'],
  ['--device', '/dev/null:/dev/x:r', 'busybox', 'stat', '-c', '%t', '/dev/x'],
  ['--device', '/dev/null:/dev/x:q', 'busybox', 'true'],
  ['--device', 'relative', 'busybox', 'true'],
  // The rest.
  ['--restart', 'always', 'busybox', 'true'],
  ['--log-driver', 'nosuch', 'busybox', 'true'],
  ['--log-opt', 'nosuch=1', 'busybox', 'true'],
  ['--log-driver', 'none', 'busybox', 'echo', 'x'],
  ['--name', 'a', 'busybox', 'true'],
  ['--name', '-bad', 'busybox', 'true'],
  ['--isolation', 'hyperv', 'busybox', 'true'],
  ['--isolation', 'default', 'busybox', 'true'],
  ['--isolation', 'process', 'busybox', 'true'],
  ['--io-maxbandwidth', '1m', 'busybox', 'true'],
  ['--io-maxiops', '100', 'busybox', 'true'],
  ['--cpu-count', '1', 'busybox', 'true'],
  ['--cpu-percent', '50', 'busybox', 'true'],
  ['--cidfile', '/etc/passwd', 'busybox', 'true'],
  ['--cidfile', '/no/such/dir/x', 'busybox', 'true'],
  ['--pull', 'never', 'nosuchimage', 'true'],
  ['--pull', 'nope', 'busybox', 'true'],
  ['--platform', 'nope', 'busybox', 'true'],
  ['--platform', 'linux/amd64', 'busybox', 'uname', '-m'],
  ['--cgroupns', 'nope', 'busybox', 'true'],
  ['--health-interval', '1us', 'busybox', 'true'],
];

describe('docker run', () => {
  let ours: TestDaemon;
  let docker: Dockerd;
  beforeAll(async () => {
    // dockerd and its namespaces come and go beside it.
    [ours, docker] = await Promise.all([startDaemon({ comparesMachine: false }), startDockerd()]);
  }, 90_000);
  afterAll(async () => {
    await Promise.all([ours?.[Symbol.asyncDispose](), docker?.[Symbol.asyncDispose]()]);
  }, 90_000);

  for (const row of rows) {
    test(row.join(' '), async () => {
      const args = ['run', '--rm', ...row];
      const [own, theirs] = await Promise.all([ours.docker(args), docker.docker(args)]);
      expect(shown(own)).toEqual(shown(theirs));
    }, 30_000);
  }
});

/** What later versions of Docker say with other capitals, of one address alone, or about a step that has another name there. */
function shown({ exitCode, stdout, stderr }: RunResult): object {
  const words = stderr
    .replace('failed to create task for container: ', '')
    .replace(/(link-local IP address: )\[(.*)\]/i, '$1$2')
    .toLowerCase();
  return { exitCode, stdout, stderr: words };
}
