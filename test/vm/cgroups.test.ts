import { afterAll, beforeAll, expect } from 'bun:test';
import { needs } from '#test/helpers/needs.ts';
import { run } from '#test/helpers/run.ts';
import { makeVmImage, type VmImage } from './image.ts';

const { describe, test } = needs('root', 'x86-64', 'qemu', 'vm-kernel', 'conmon', 'crun', 'mkfs');

/** What runs after the kernel has started. The kernel's command line says which cgroup hierarchies to make and which tests to run. */
const script = `#!/bin/sh
export PATH=/usr/sbin:/usr/bin HOME=/root NO_COLOR=1 BERTH_TEST_BINARY=/usr/bin/berth BERTH_TEST_ALONE=1
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
for dir in /dev/shm /run /tmp; do mount -t tmpfs tmpfs $dir; done
for word in $(cat /proc/cmdline); do
  case $word in cgroups=*) cgroups=\${word#*=} ;; only=*) only=\${word#*=} ;; esac
done
if [ "$cgroups" = hybrid ]; then
  mount -t tmpfs -o mode=755 cgroup /sys/fs/cgroup
  for controller in cpu cpuacct cpuset memory devices freezer blkio pids; do
    mkdir /sys/fs/cgroup/$controller
    mount -t cgroup -o $controller cgroup /sys/fs/cgroup/$controller
  done
  mkdir /sys/fs/cgroup/unified
  mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified
  echo "left to v2: $(cat /sys/fs/cgroup/unified/cgroup.controllers)"
else
  mount -t cgroup2 cgroup2 /sys/fs/cgroup
fi
modprobe overlay
ip link set lo up
cd /project
bun test ./test/e2e/limits --timeout 120000 -t "$only" 2>&1
echo "== exit code $? =="
poweroff -f
`;

describe('in a virtual machine with Debian’s kernel', () => {
  let image: VmImage;
  beforeAll(async () => {
    image = await makeVmImage(script);
  }, 120_000);
  afterAll(async () => image?.[Symbol.asyncDispose]());

  const boot = async (cgroups: 'unified' | 'hybrid', only: string): Promise<string> => {
    const { stdout } = await run(
      [
        ...['qemu-system-x86_64', '-accel', 'tcg,thread=multi', '-cpu', 'max', '-smp', '2', '-m', '3072', '-nodefaults', '-no-reboot'],
        ...['-display', 'none', '-serial', 'stdio', '-kernel', image.kernel, '-initrd', image.initramfs],
        ...['-drive', `file=${image.disk},format=raw,if=virtio,snapshot=on`],
        ...['-append', `console=ttyS0 quiet panic=-1 loglevel=3 cgroups=${cgroups} only=${only}`],
      ],
      { timeoutMs: 540_000 },
    );
    const said = stdout.replaceAll('\r', '');
    console.log(said.replaceAll(/^/gm, 'vm| '));
    return said;
  };

  test('the limits hold where cgroup v2 is all there is', async () => {
    const said = await boot('unified', 'v2');
    expect(said).toContain('== exit code 0 ==');
    expect(Number(/(\d+) pass/.exec(said)?.[1])).toBeGreaterThan(10);
  }, 600_000);

  // The daemon has to mount what is left to v2, and to unmount it in the end: the mounts are compared before and after.
  test('they hold where v1 has most controllers and v2 the others, and the mounts are as before afterwards', async () => {
    const said = await boot('hybrid', '(memory|cpuset|paused|usual)');
    expect(said).toContain('== exit code 0 ==');
    expect(Number(/(\d+) pass/.exec(said)?.[1])).toBeGreaterThan(5);
    expect(said).toContain('with cgroup v1, kept by crun');
    expect(said).toMatch(/^left to v2: \w+/m);
  }, 600_000);
});
