/**
 * Makes small images from what this machine has, for machines without a registry:
 *   bun scripts/base-images.ts busybox   .cache/images/busybox.tar from the static busybox
 *   bun scripts/base-images.ts debian    .cache/images/debian.tar with debootstrap, about 80 MB
 * An image that exists already is kept. Prints the archive's path.
 */
import { chmod, copyFile, mkdir, mkdtemp, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { $ } from 'bun';
import { writeDockerArchive } from './docker-archive.ts';

const folder = resolve(import.meta.dir, '../.cache/images');

const makers = {
  busybox: makeBusyboxImage,
  debian: makeDebianImage,
} as const satisfies Record<string, (rootfs: string) => Promise<{ tag: string; cmd: string[] }>>;

export type BaseImage = keyof typeof makers;

/** The archive of a base image, made first if need be. */
export async function baseImage(name: BaseImage): Promise<string> {
  const file = join(folder, `${name}.tar`);
  if (await Bun.file(file).exists()) return file;
  const rootfs = await mkdtemp(join(tmpdir(), `berth-${name}-`));
  try {
    await chmod(rootfs, 0o755);
    const { tag, cmd } = await makers[name](rootfs);
    await writeDockerArchive({ tag, rootfs, cmd }, file);
  } finally {
    await rm(rootfs, { recursive: true, force: true });
  }
  return file;
}

async function makeBusyboxImage(rootfs: string): Promise<{ tag: string; cmd: string[] }> {
  const busybox = Bun.which('busybox');
  if (busybox === null) throw new Error('busybox is not installed; the Debian package is busybox-static');
  for (const dir of ['bin', 'dev', 'etc', 'home', 'proc', 'root', 'sys', 'usr/bin', 'usr/sbin', 'var/spool/mail']) {
    await mkdir(join(rootfs, dir), { recursive: true });
  }
  await mkdir(join(rootfs, 'tmp'));
  await chmod(join(rootfs, 'tmp'), 0o1777);
  await chmod(join(rootfs, 'root'), 0o700);
  await copyFile(busybox, join(rootfs, 'bin/busybox'));
  await chmod(join(rootfs, 'bin/busybox'), 0o755);
  const applets = (await $`${busybox} --list`.text()).split('\n').filter(applet => applet !== '' && applet !== 'busybox');
  for (const applet of applets) await symlink('busybox', join(rootfs, 'bin', applet));
  await symlink('/bin/env', join(rootfs, 'usr/bin/env'));
  const users = { root: [0, '/root', '/bin/sh'], daemon: [1, '/usr/sbin', '/bin/false'], nobody: [65534, '/home', '/bin/false'] } as const;
  await Bun.write(
    join(rootfs, 'etc/passwd'),
    Object.entries(users)
      .map(([name, [id, home, shell]]) => `${name}:x:${String(id)}:${String(id)}:${name}:${home}:${shell}\n`)
      .join(''),
  );
  await Bun.write(join(rootfs, 'etc/group'), 'root:x:0:\ndaemon:x:1:\nmail:x:8:\nwww-data:x:33:\nusers:x:100:daemon\nnogroup:x:65534:\n');
  return { tag: 'busybox:latest', cmd: ['sh'] };
}

async function makeDebianImage(rootfs: string): Promise<{ tag: string; cmd: string[] }> {
  if (Bun.which('debootstrap') === null) throw new Error('debootstrap is not installed; the Debian package has the same name');
  const made = await $`debootstrap --variant=minbase bookworm ${rootfs}`.nothrow().quiet();
  if (made.exitCode !== 0)
    throw new Error(`debootstrap failed with exit code ${String(made.exitCode)}: ${made.stdout.toString().slice(-2000)}`);
  // What a package cache and documentation weigh is of no use in a container.
  await $`rm -rf ${rootfs}/var/cache/apt/archives ${rootfs}/var/lib/apt/lists ${rootfs}/usr/share/doc ${rootfs}/usr/share/man ${rootfs}/usr/share/locale`;
  await $`rm -rf ${rootfs}/dev`;
  for (const dir of ['dev', 'var/cache/apt/archives', 'var/lib/apt/lists']) await mkdir(join(rootfs, dir), { recursive: true });
  return { tag: 'debian:12', cmd: ['bash'] };
}

if (import.meta.main) {
  const name = process.argv[2] ?? '';
  if (!(name in makers)) {
    console.error(`error: unknown base image "${name}"; there are: ${Object.keys(makers).join(', ')}`);
    process.exit(2);
  }
  console.log(await baseImage(name as BaseImage));
}
