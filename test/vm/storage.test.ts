import { afterAll, beforeAll, expect } from 'bun:test';
import { needs } from '#test/helpers/needs.ts';
import { run } from '#test/helpers/run.ts';
import { makeVmImage, type VmImage } from './image.ts';

const { describe, test } = needs('root', 'x86-64', 'qemu', 'vm-kernel', 'conmon', 'crun', 'mkfs', 'file-servers');

const script = `#!/bin/sh
export PATH=/usr/sbin:/usr/bin HOME=/root NO_COLOR=1 BERTH_TEST_BINARY=/usr/bin/berth
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
for dir in /dev/shm /run; do mount -t tmpfs tmpfs $dir; done
mount -t cgroup2 cgroup2 /sys/fs/cgroup
for module in overlay loop quota_v2 xfs nfs nfsv4 nfsd cifs; do modprobe $module; done
ip link set lo up
cd /project
bun test ./test/integration/storage/project-quotas.test.ts ./test/integration/storage/remote-volumes.test.ts --timeout 120000 2>&1
echo "== exit code $? =="
poweroff -f
`;

describe('in a virtual machine whose kernel keeps project quotas and serves files', () => {
  let image: VmImage;
  beforeAll(async () => {
    image = await makeVmImage(script, { withSource: true, programs: ['mkfs.ext4', 'mkfs.xfs'], unpacked: ['file-servers'] });
  }, 120_000);
  afterAll(async () => image?.[Symbol.asyncDispose]());

  test('containers and volumes hold no more than they may, and volumes are on other machines', async () => {
    const { stdout } = await run(
      [
        ...['qemu-system-x86_64', '-accel', 'tcg,thread=multi', '-cpu', 'max', '-smp', '2', '-m', '3072', '-nodefaults', '-no-reboot'],
        ...['-display', 'none', '-serial', 'stdio', '-kernel', image.kernel, '-initrd', image.initramfs],
        ...['-drive', `file=${image.disk},format=raw,if=virtio,snapshot=on`],
        ...['-append', 'console=ttyS0 quiet panic=-1 loglevel=3'],
      ],
      { timeoutMs: 540_000 },
    );
    const said = stdout.replaceAll('\r', '');
    console.log(said.replaceAll(/^/gm, 'vm| '));
    expect(said).toContain('== exit code 0 ==');
    expect(Number(/(\d+) pass/.exec(said)?.[1])).toBeGreaterThanOrEqual(5);
  }, 600_000);
});
