import { expect } from 'bun:test';
import { needs } from '#test/helpers/needs.ts';
import { run } from '#test/helpers/run.ts';
import { makeVmImage } from './image.ts';

const { test } = needs('root', 'x86-64', 'qemu', 'vm-kernel', 'conmon', 'crun', 'mkfs');

/** Runs the limit tests in a machine whose only cgroup hierarchy is the unified one. */
const script = `#!/bin/sh
export PATH=/usr/sbin:/usr/bin HOME=/root NO_COLOR=1 BERTH_TEST_BINARY=/usr/bin/berth BERTH_TEST_ALONE=1
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
for dir in /dev/shm /run /tmp; do mount -t tmpfs tmpfs $dir; done
mount -t cgroup2 cgroup2 /sys/fs/cgroup
modprobe overlay
ip link set lo up
cd /project
bun test ./test/e2e/limits --timeout 120000 2>&1
echo "== exit code $? =="
poweroff -f
`;

test('the limits hold in a machine that has cgroup v2 only', async () => {
  await using image = await makeVmImage(script);
  const { stdout } = await run(
    [
      ...['qemu-system-x86_64', '-accel', 'tcg,thread=multi', '-cpu', 'max', '-smp', '2', '-m', '3072', '-nodefaults', '-no-reboot'],
      ...['-display', 'none', '-serial', 'stdio', '-kernel', image.kernel, '-initrd', image.initramfs],
      ...['-drive', `file=${image.disk},format=raw,if=virtio,snapshot=on`, '-append', 'console=ttyS0 quiet panic=-1 loglevel=3'],
    ],
    { timeoutMs: 540_000 },
  );
  const said = stdout.replaceAll('\r', '');
  console.log(said.replaceAll(/^/gm, 'vm| '));
  expect(said).toContain('== exit code 0 ==');
  expect(Number(/(\d+) pass/.exec(said)?.[1])).toBeGreaterThan(5);
}, 600_000);
