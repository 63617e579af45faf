import { afterAll, beforeAll, expect } from 'bun:test';
import { needs } from '#test/helpers/needs.ts';
import { run } from '#test/helpers/run.ts';
import { makeVmImage, type VmImage } from './image.ts';

const { describe, test } = needs('root', 'x86-64', 'qemu', 'vm-kernel', 'mkfs');

/** What runs after the kernel has started. Links of kinds that are modules load them. */
const script = `#!/bin/sh
export PATH=/usr/sbin:/usr/bin HOME=/root NO_COLOR=1 BERTH_TEST_OWN_NETWORK=1
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
for dir in /run /tmp; do mount -t tmpfs tmpfs $dir; done
mount --make-shared /run
ip link set lo up
cd /project
bun test ./test/integration/network-drivers.test.ts ./test/integration/network-encryption.test.ts --timeout 120000 2>&1
echo "== exit code $? =="
poweroff -f
`;

// Many kernels come without some kinds of links; Debian's has all of them.
describe('in a virtual machine with Debian’s kernel', () => {
  let image: VmImage;
  beforeAll(async () => {
    image = await makeVmImage(script, { withSource: true });
  }, 120_000);
  afterAll(async () => image?.[Symbol.asyncDispose]());

  test('macvlan, ipvlan, VLANs and overlay networks, encrypted ones too, carry packets', async () => {
    const { stdout } = await run(
      [
        ...['qemu-system-x86_64', '-accel', 'tcg,thread=multi', '-cpu', 'max', '-smp', '2', '-m', '2048', '-nodefaults', '-no-reboot'],
        ...['-display', 'none', '-serial', 'stdio', '-kernel', image.kernel, '-initrd', image.initramfs],
        ...['-drive', `file=${image.disk},format=raw,if=virtio,snapshot=on`],
        ...['-append', 'console=ttyS0 quiet panic=-1 loglevel=3'],
      ],
      { timeoutMs: 540_000 },
    );
    const said = stdout.replaceAll('\r', '');
    console.log(said.replaceAll(/^/gm, 'vm| '));
    expect(said).toContain('== exit code 0 ==');
    expect(said).toContain(' 0 fail');
    expect(said).not.toContain('(skip)');
    expect(Number(/(\d+) pass/.exec(said)?.[1])).toBeGreaterThan(16);
  }, 600_000);
});
