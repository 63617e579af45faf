import { mkdir, mkdtemp, rename, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { $ } from 'bun';

export interface ArchiveImage {
  /** `name:tag`. */
  readonly tag: string;
  /** A folder with the file system of its only layer. */
  readonly rootfs: string;
  readonly cmd: readonly string[];
  readonly env?: readonly string[];
}

/** What image configurations call this processor. */
export const architecture = process.arch === 'arm64' ? 'arm64' : 'amd64';

/** Writes an image of one layer as a docker-archive, which `docker load` reads. The file appears whole or not at all. */
export async function writeDockerArchive(image: ArchiveImage, file: string): Promise<void> {
  const work = await mkdtemp(join(tmpdir(), 'berth-archive-'));
  try {
    await $`tar --numeric-owner --sort=name --xattrs --mtime=@1700000000 -C ${image.rootfs} -cf ${work}/layer.tar .`.quiet();
    const hasher = new Bun.CryptoHasher('sha256');
    for await (const chunk of Bun.file(`${work}/layer.tar`).stream()) hasher.update(chunk);
    const config = JSON.stringify({
      architecture,
      os: 'linux',
      created: '2023-11-14T22:13:20Z',
      config: { Env: image.env ?? ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'], Cmd: image.cmd, WorkingDir: '/' },
      rootfs: { type: 'layers', diff_ids: [`sha256:${hasher.digest('hex')}`] },
      history: [{ created: '2023-11-14T22:13:20Z', created_by: `make ${image.tag}` }],
    });
    const configName = `${new Bun.CryptoHasher('sha256').update(config).digest('hex')}.json`;
    await Bun.write(join(work, configName), config);
    await Bun.write(join(work, 'manifest.json'), JSON.stringify([{ Config: configName, RepoTags: [image.tag], Layers: ['layer.tar'] }]));
    await mkdir(dirname(file), { recursive: true });
    await $`tar -C ${work} -cf ${file}.new manifest.json ${configName} layer.tar`.quiet();
    await rename(`${file}.new`, file);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}
