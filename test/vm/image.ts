import { chmod, cp, mkdir, mkdtemp, readdir, realpath, rm, symlink } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { $ } from 'bun';
import { baseImage } from '../../scripts/base-images.ts';
import { cached, projectRoot } from '#test/helpers/paths.ts';

export interface VmImage extends AsyncDisposable {
  readonly kernel: string;
  readonly initramfs: string;
  readonly disk: string;
}

/** Programs of this machine that go into the VM with the libraries they need. */
const programs = ['crun', 'runc', 'conmon', 'nft', 'ip', 'nsenter', 'tini-static'];
/** Opened by name at run time, so that no program's header mentions them. */
const libraries = ['libnftables.so.1', 'libnss_files.so.2'];

export interface VmContents {
  /** Also what tests of parts of the daemon import. */
  readonly withSource?: boolean;
  /** More of this machine's. */
  readonly programs?: readonly string[];
  /** Folders below .cache with packages, which have the same place there. */
  readonly unpacked?: readonly string[];
}

/**
 * Makes a kernel, an initramfs and a disk with a system that does one thing: run `script` as its second step of booting. The disk has busybox, the
 * container programs, the built executable, Bun, and the tests.
 */
export async function makeVmImage(
  script: string,
  { withSource = false, programs: more = [], unpacked = [] }: VmContents = {},
): Promise<VmImage> {
  const folder = await mkdtemp('/tmp/berth-vm-');
  await using undo = new AsyncDisposableStack();
  undo.defer(() => rm(folder, { recursive: true, force: true }));
  const release = (await readdir(cached('kernel/lib/modules')))[0] ?? '';
  const root = join(folder, 'root');
  await makeLayout(root);
  for (const program of [...programs, ...more]) {
    const path = Bun.which(program, { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin' });
    if (path !== null) await copyWithLibraries(root, path);
  }
  for (const library of libraries) {
    const path = (await $`ldconfig -p`.text())
      .split('\n')
      .find(line => line.includes(library))
      ?.split('=> ')[1];
    if (path !== undefined) await copyWithLibraries(root, path);
  }
  await copyWithLibraries(root, await realpath(join(projectRoot, 'node_modules/.bin/bun')), '/usr/bin/bun');
  await copyWithLibraries(root, resolve(projectRoot, process.env.BERTH_TEST_BINARY ?? 'dist/berth'), '/usr/bin/berth');
  await copyProject(root);
  if (withSource) await copySource(root);
  for (const folder of unpacked) await copyUnpacked(root, folder);
  await cp(cached(`kernel/lib/modules/${release}`), join(root, `usr/lib/modules/${release}`), { recursive: true });
  await $`depmod -b ${root} ${release}`;
  await writeExecutable(join(root, 'sbin/second'), script);

  const disk = join(folder, 'disk');
  await $`truncate -s 1G ${disk} && mkfs.ext4 -q -d ${root} ${disk}`;
  const initramfs = join(folder, 'initramfs');
  await makeInitramfs(join(folder, 'first'), initramfs, root, release);
  await rm(root, { recursive: true });
  undo.move();
  return {
    kernel: cached(`kernel/boot/vmlinuz-${release}`),
    initramfs,
    disk,
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }),
  };
}

/** The usual folders, with everything below /usr. */
async function makeLayout(root: string): Promise<void> {
  for (const dir of ['usr/bin', 'usr/sbin', 'usr/lib', 'usr/lib64', 'etc', 'proc', 'sys', 'dev', 'run', 'tmp', 'root', 'var/lib']) {
    await mkdir(join(root, dir), { recursive: true });
  }
  for (const dir of ['bin', 'sbin', 'lib', 'lib64']) await symlink(`usr/${dir}`, join(root, dir));
  await addBusybox(join(root, 'usr/bin'));
  for (const name of ['modprobe', 'poweroff']) await symlink('../bin/busybox', join(root, 'usr/sbin', name));
  await Bun.write(join(root, 'etc/passwd'), 'root:x:0:0:root:/root:/bin/sh\n');
  await Bun.write(join(root, 'etc/group'), 'root:x:0:\n');
  await Bun.write(join(root, 'etc/hosts'), '127.0.0.1 localhost\n');
  await Bun.write(join(root, 'etc/resolv.conf'), '');
  await Bun.write(join(root, 'etc/os-release'), 'NAME=vm\nPRETTY_NAME="Test VM"\n');
}

async function addBusybox(bin: string): Promise<void> {
  const busybox = Bun.which('busybox') ?? '/bin/busybox';
  await cp(busybox, join(bin, 'busybox'), { dereference: true });
  for (const applet of (await $`${busybox} --list`.text()).trim().split('\n')) {
    // The real ones come from the host.
    if (!['busybox', 'ip', 'modprobe', 'nsenter'].includes(applet)) await symlink('busybox', join(bin, applet));
  }
}

async function copyWithLibraries(root: string, path: string, as = path): Promise<void> {
  await cp(path, join(root, as.replace(/^\/(s?bin|lib|lib64)\//, '/usr/$1/')), { dereference: true });
  await copyLibraries(root, path);
}

async function copyLibraries(root: string, path: string): Promise<void> {
  const needed = await $`ldd ${path}`.nothrow().quiet().text();
  for (const [library] of needed.matchAll(/\/\S+\.so\S*/g)) {
    const inside = join(root, library.replace(/^\/(lib|lib64)\//, '/usr/$1/'));
    if (await Bun.file(inside).exists()) continue;
    await mkdir(dirname(inside), { recursive: true });
    await cp(library, inside, { dereference: true });
  }
}

/** With what of this machine the programs in it need. */
async function copyUnpacked(root: string, folder: string): Promise<void> {
  await cp(cached(folder), join(root, 'project/.cache', folder), { recursive: true, verbatimSymlinks: true });
  for (const name of await readdir(cached(`${folder}/usr/sbin`))) await copyLibraries(root, cached(`${folder}/usr/sbin/${name}`));
  for (const name of await readdir(cached(`${folder}/usr/lib/x86_64-linux-gnu`)))
    if (/\.so\.[\d.]+$/.test(name)) await copyLibraries(root, cached(`${folder}/usr/lib/x86_64-linux-gnu/${name}`));
}

async function copyProject(root: string): Promise<void> {
  const project = join(root, 'project');
  await mkdir(project);
  for (const path of ['package.json', 'tsconfig.json', 'test', 'scripts'])
    await cp(join(projectRoot, path), join(project, path), { recursive: true });
  const archive = await baseImage('busybox');
  await mkdir(join(project, '.cache/images'), { recursive: true });
  await cp(archive, join(project, '.cache/images/busybox.tar'));
}

async function copySource(root: string): Promise<void> {
  for (const path of ['src', 'node_modules/dns-packet', 'node_modules/@leichtgewicht/ip-codec'])
    await cp(join(projectRoot, path), join(root, 'project', path), { recursive: true });
}

/** Loads what the disk needs, mounts it, and hands over. A container's root cannot be pivoted out of an initramfs, so that one is left behind. */
async function makeInitramfs(folder: string, file: string, root: string, release: string): Promise<void> {
  for (const dir of ['bin', 'dev', 'proc', 'sys', 'disk', 'lib']) await mkdir(join(folder, dir), { recursive: true });
  await addBusybox(join(folder, 'bin'));
  const found: string[] = [];
  for (const module of ['virtio_pci', 'virtio_blk']) {
    // Lines such as `insmod /path/virtio.ko`, dependencies before dependents.
    const loads = await $`modprobe -d ${root} -S ${release} --show-depends ${module}`.text();
    for (const [, path = ''] of loads.matchAll(/^insmod (\S+)/gm)) {
      const name = basename(path);
      if (found.includes(name)) continue;
      await cp(path, join(folder, 'lib', name));
      found.push(name);
    }
  }
  await writeExecutable(
    join(folder, 'init'),
    `#!/bin/sh
mount -t proc proc /proc
mount -t devtmpfs dev /dev
for module in ${found.join(' ')}; do insmod /lib/$module; done
mount -t ext4 /dev/vda /disk && exec switch_root /disk /sbin/second
echo 'the disk could not be mounted'
poweroff -f
`,
  );
  await $`find . | cpio --quiet -o -H newc | gzip -1 > ${file}`.cwd(folder);
}

async function writeExecutable(path: string, text: string): Promise<void> {
  await Bun.write(path, text);
  await chmod(path, 0o755);
}
