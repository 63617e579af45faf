import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { describe, test } from 'bun:test';
import { dockerCommand } from './docker-cli.ts';
import { cached, pathWithCriu } from './paths.ts';

/** What a test may ask of the machine. Each answers with undefined, or with what is missing, in words. */
const checks = {
  root: () => (process.getuid?.() === 0 ? undefined : 'it needs root'),
  crun: () => tool('crun'),
  runc: () => tool('runc'),
  conmon: () => tool('conmon'),
  nft: () => tool('nft'),
  skopeo: () => tool('skopeo'),
  debootstrap: () => tool('debootstrap'),
  qemu: () => tool('qemu-system-x86_64'),
  mkfs: () => tool('mkfs.ext4'),
  python3: () => tool('python3'),
  openssl: () => tool('openssl'),
  git: () => tool('git'),
  node: () => tool('node'),
  'docker-compose': () => tool('docker-compose'),
  criu: () => criu(),
  cgroup1: () => (existsSync('/sys/fs/cgroup/memory') ? undefined : 'cgroup v1 controllers are not mounted'),
  'rt-cgroups': () =>
    existsSync('/sys/fs/cgroup/cpu/cpu.rt_runtime_us') ? undefined : 'the kernel does not divide real-time processor time among cgroups',
  cgroup2: () => (existsSync('/sys/fs/cgroup/cgroup.controllers') ? undefined : 'the unified cgroup hierarchy is not at /sys/fs/cgroup'),
  ipv6: () => (existsSync('/proc/net/if_inet6') ? undefined : 'the kernel has no IPv6'),
  'ipv6-loopback': () =>
    existsSync('/proc/net/if_inet6') && readFileSync('/proc/net/if_inet6', 'utf8').includes('00000000000000000000000000000001')
      ? undefined
      : 'there is no ::1 on the loopback interface',
  btrfs: () => tool('mkfs.btrfs') ?? fileSystem('btrfs'),
  'fuse-overlayfs': () => tool('fuse-overlayfs') ?? (existsSync('/dev/fuse') ? undefined : 'there is no /dev/fuse'),
  xfs: () => tool('mkfs.xfs') ?? fileSystem('xfs'),
  'project-quotas': () => tool('mkfs.ext4') ?? (keepsQuotas() ? undefined : 'the kernel keeps no project quotas on ext4'),
  loop: () => (existsSync('/dev/loop-control') ? undefined : 'there are no loop devices'),
  dockerd: () => unpacked('docker/usr/sbin/dockerd'),
  'docker-cli-28': () => {
    const version = /version (\d+)/.exec(stockVersion())?.[1] ?? 'unknown';
    return Number(version) >= 28 ? undefined : `the stock docker command line is of version ${version}, not 28`;
  },
  buildx: () => unpacked('buildx/usr/libexec/docker/cli-plugins/docker-buildx'),
  'docker-registry': () => unpacked('docker/usr/bin/docker-registry'),
  rsyslog: () => unpacked('rsyslog/usr/sbin/rsyslogd'),
  ufw: () => unpacked('firewalls/usr/sbin/ufw') ?? tool('iptables') ?? tool('python3'),
  firewalld: () => unpacked('firewalls/usr/sbin/firewalld') ?? tool('python3'),
  'nfs-server': () => moduleLoaded('nfsd') ?? moduleLoaded('nfsv4'),
  cifs: () => moduleLoaded('cifs'),
  'file-servers': () => unpacked('file-servers/usr/sbin/exportfs'),
  'vm-kernel': () =>
    existsSync(cached('kernel/boot')) && readdirSync(cached('kernel/boot')).some(name => name.startsWith('vmlinuz'))
      ? undefined
      : missing('kernel'),
  ipvlan: () => linkKind('ipvlan', 'type veth peer name probe3'),
  macvlan: () => linkKind('macvlan', 'type veth peer name probe3'),
  vxlan: () => linkKind('vxlan id 7 dstport 4789', 'type veth peer name probe3'),
  vlan: () => linkKind('vlan id 7', 'type veth peer name probe3'),
  esp: () => esp(),
  dummy: () => linkKind('dummy', 'type veth peer name probe3'),
  'x86-64': () => (process.arch === 'x64' ? undefined : `the processor is ${process.arch}`),
} as const satisfies Record<string, () => string | undefined>;

export type Need = keyof typeof checks;

function stockVersion(): string {
  try {
    return Bun.spawnSync([...dockerCommand(), '--version']).stdout.toString();
  } catch {
    return '';
  }
}

const missing = (what: string): string => `.cache/${what} is missing: run sh scripts/setup.sh tests`;
const tool = (name: string): string | undefined => (Bun.which(name) === null ? `${name} is not installed` : undefined);
/** Built in or loaded: a module is there to be loaded before the tests. */
const keepsQuotas = (): boolean =>
  existsSync('/sys/module/quota_v2') || (readIfThere('/proc/config.gz')?.includes('CONFIG_QFMT_V2=y') ?? false);

function readIfThere(path: string): string | undefined {
  if (!existsSync(path)) return undefined;
  return Buffer.from(Bun.gunzipSync(readFileSync(path))).toString('utf8');
}

const fileSystem = (name: string): string | undefined =>
  readFileSync('/proc/filesystems', 'utf8').split('\n').includes(`\t${name}`) ? undefined : `the kernel has no ${name}`;
const moduleLoaded = (name: string): string | undefined =>
  existsSync(`/sys/module/${name}`) ? undefined : `the kernel's ${name} is not loaded`;
const unpacked = (path: string): string | undefined => (existsSync(cached(path)) ? undefined : missing(path));

/** Makes a link of this kind on another one, in a namespace that goes with the shell. */
function linkKind(kind: string, parent: string): string | undefined {
  const script = `ip link add probe1 ${parent} && ip link add probe2 link probe1 type ${kind}`;
  const { exitCode } = Bun.spawnSync(['unshare', '--net', 'sh', '-c', script], { stdout: 'ignore', stderr: 'ignore' });
  return exitCode === 0 ? undefined : `the kernel has no ${String(kind.split(' ')[0])} links`;
}

/** Gives a namespace that goes with the shell keys as an encrypted network has them. */
function esp(): string | undefined {
  const key = `0x${'0'.repeat(64)}`;
  const keys = ['enc', 'cbc(aes)', key, 'auth-trunc', 'hmac(sha256)', key, '128'];
  const state = ['src', '127.0.0.1', 'dst', '127.0.0.1', 'proto', 'esp', 'spi', '4096', 'mode', 'transport', ...keys];
  // By its whole name: the one in busybox knows nothing of it.
  const { exitCode } = Bun.spawnSync(['unshare', '--net', Bun.which('ip') ?? 'ip', 'xfrm', 'state', 'add', ...state], {
    stdout: 'ignore',
    stderr: 'ignore',
  });
  return exitCode === 0 ? undefined : 'the kernel has no ESP';
}

/** It may be there and not know this kernel. */
function criu(): string | undefined {
  if (Bun.which('criu', { PATH: pathWithCriu() }) === null) return 'criu is not installed';
  const { exitCode, stderr } = Bun.spawnSync(['criu', 'check'], { env: { PATH: pathWithCriu() } });
  return exitCode === 0 ? undefined : `criu does not know this kernel: ${stderr.toString().trim().split('\n')[0] ?? ''}`;
}

/** Why these needs are not met here; undefined when they are. */
export function unmet(...needs: readonly Need[]): string | undefined {
  const reasons = needs.map(need => checks[need]()).filter(reason => reason !== undefined);
  return reasons.length === 0 ? undefined : reasons.join('; ');
}

/** `describe` and `test` that skip, and print why, where this machine lacks something: `needs('root', 'crun').describe('exec', …)`. */
export function needs(...wanted: readonly Need[]): { describe: typeof describe; test: typeof test } {
  const reason = unmet(...wanted);
  if (reason === undefined) return { describe, test };
  console.log(`skipped here: ${reason}`);
  return { describe: describe.skip as typeof describe, test: test.skip as typeof test };
}
