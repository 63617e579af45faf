import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'bun:test';
import { $ } from 'bun';
import { zstdCompressSync } from 'node:zlib';
import { sha256 } from '#oci/digest.ts';
import { writeTar, type NewTarFile } from '#oci/tar/writer.ts';
import { architecture } from '../../../scripts/docker-archive.ts';
import { sharedDaemon } from '#test/helpers/containers.ts';
import { tempFolder } from '#test/helpers/daemon.ts';
import { startDockerd } from '#test/helpers/dockerd.ts';
import { type MadeImage, oldArchive } from '#test/helpers/make-image.ts';
import { dockerCommand } from '#test/helpers/docker-cli.ts';
import { needs } from '#test/helpers/needs.ts';
import { publishImage } from '#test/helpers/publish-image.ts';
import { runOk } from '#test/helpers/run.ts';
import { startSmallRegistry } from '#test/helpers/small-registry.ts';

const { describe } = needs('root', 'conmon', 'nft');
const withSkopeo = needs('skopeo');
const withDockerd = needs('dockerd');

const file = (name: string, content = name): NewTarFile => ({ entry: { name }, content: new TextEncoder().encode(content) });
const directory = (name: string, mode = 0o755): NewTarFile => ({ entry: { name, type: 'directory', mode } });
const link = (name: string, linkName: string): NewTarFile => ({ entry: { name, type: 'link', linkName } });
const symlink = (name: string, linkName: string): NewTarFile => ({ entry: { name, type: 'symlink', linkName } });
const tarOf = async (files: readonly NewTarFile[]): Promise<Uint8Array> => Buffer.concat(await Array.fromAsync(writeTar(files)));

function imageOf(layers: readonly Uint8Array[], compress: (data: Uint8Array) => Uint8Array = data => data): MadeImage {
  const diffIds = layers.map(layer => sha256(layer));
  const config = new TextEncoder().encode(
    JSON.stringify({
      architecture,
      os: 'linux',
      config: { Env: ['PATH=/bin'], Cmd: ['sh'] },
      rootfs: { type: 'layers', diff_ids: diffIds },
      history: layers.map((_layer, index) => ({ created_by: `step ${index}` })),
    }),
  );
  return { id: sha256(config), config, layers: layers.map(compress), diffIds };
}

/** What builds make of layers, one on the other: the last must look like this. */
async function builtLayers(options: { readonly linksToLowerLayers?: boolean } = {}): Promise<Uint8Array[]> {
  // Docker's own daemon cannot unpack such links.
  const linked = (name: string, target: string): NewTarFile =>
    options.linksToLowerLayers === false ? file(name, 'd/kept') : link(name, target);
  await using folder = await tempFolder();
  await mkdir(join(folder.path, 'root/bin'), { recursive: true });
  await $`cp /bin/busybox ${folder.path}/root/bin/busybox`.quiet();
  for (const name of ['sh', 'ls', 'cat', 'find', 'stat', 'sort', 'echo', 'true', 'wc'])
    await $`ln -s busybox ${folder.path}/root/bin/${name}`;
  await $`tar -C ${folder.path}/root -cf ${folder.path}/base.tar .`.quiet();
  const base = new Uint8Array(await Bun.file(`${folder.path}/base.tar`).arrayBuffer());
  return [
    base,
    await tarOf([
      directory('d', 0o750),
      file('d/kept'),
      file('d/gone'),
      directory('d/sub'),
      file('d/sub/x'),
      directory('o'),
      file('o/old'),
      file('f'),
      symlink('l', 'd'),
    ]),
    await tarOf([
      file('d/.wh.gone', ''),
      file('.wh.f', ''),
      linked('hard', 'd/kept'),
      directory('o'),
      file('o/.wh..wh..opq', ''),
      file('o/new'),
    ]),
    await tarOf([
      file('f/inside'),
      file('d/.wh.sub', ''),
      file('.wh.l', ''),
      directory('l'),
      file('l/was-a-link'),
      linked('d/hard2', 'hard'),
    ]),
    await tarOf([directory('d/sub'), file('d/sub/y'), file('nothing/.wh.there', '')]),
  ];
}
const expectedTree = ['d/hard2', 'd/kept', 'd/sub/y', 'f/inside', 'hard', 'l/was-a-link', 'o/new'];
const look = 'cd / && find d f hard l o nothing -type f | sort && stat -c %a d && cat hard d/hard2';
const expectedLook = `${expectedTree.join('\n')}\n750\nd/keptd/kept`;

describe('images of many makes', () => {
  const daemon = sharedDaemon({ args: ['--insecure-registry', '127.0.0.0/8'] });
  const ok = async (...args: string[]): Promise<string> => (await daemon().dockerOk(...args)).trim();
  const { test } = needs('root');

  test('whiteouts, opaque directories and hard links across layers', async () => {
    await using folder = await tempFolder();
    await Bun.write(join(folder.path, 'built.tar'), oldArchive([{ image: imageOf(await builtLayers()), tags: ['built:1'] }]));
    await ok('load', '-i', join(folder.path, 'built.tar'));
    expect(await ok('run', '--rm', 'built:1', 'sh', '-c', look)).toBe(expectedLook);
    await ok('rmi', 'built:1');
  }, 30_000);

  test('a layer in zstd, and an index with several platforms', async () => {
    await using registry = startSmallRegistry();
    const image = imageOf(await builtLayers(), data => new Uint8Array(zstdCompressSync(data)));
    const digest = publishImage(registry, 'multi', 'plain', image, 'application/vnd.oci.image.layer.v1.tar+zstd');
    const mediaType = 'application/vnd.oci.image.index.v1+json';
    const entry = (processor: string, variant?: string, of = digest): object => ({
      mediaType: 'application/vnd.oci.image.manifest.v1+json',
      digest: of,
      size: registry.manifests.get(`multi@${digest}`)?.bytes.length,
      platform: { os: 'linux', architecture: processor, ...(variant === undefined ? {} : { variant }) },
    });
    const nowhere = sha256('nowhere');
    const index = {
      schemaVersion: 2,
      mediaType,
      manifests: [
        entry('arm', 'v7', nowhere),
        entry('ppc64le', undefined, nowhere),
        entry(architecture),
        entry('unknown', undefined, nowhere),
      ],
    };
    registry.manifests.set('multi:1', { bytes: new TextEncoder().encode(JSON.stringify(index)), mediaType });
    const name = `${registry.address}/multi:1`;
    await ok('pull', '-q', name);
    expect(await ok('run', '--rm', name, 'sh', '-c', look)).toBe(expectedLook);
    const wrong = await daemon().docker(['pull', '--platform', 'linux/s390x', name]);
    expect(wrong.stderr).toContain('no matching manifest for linux/s390x');
    await ok('rmi', name);
  }, 30_000);

  test('127 layers', async () => {
    await using folder = await tempFolder();
    const [base = new Uint8Array()] = await builtLayers();
    const layers = [base];
    for (let i = 1; i < 127; i += 1)
      layers.push(await tarOf([directory('n'), file(`n/${i}`), ...(i > 10 ? [file(`n/.wh.${i - 10}`, '')] : [])]));
    await Bun.write(join(folder.path, 'deep.tar'), oldArchive([{ image: imageOf(layers), tags: ['deep:1'] }]));
    const start = performance.now();
    await ok('load', '-q', '-i', join(folder.path, 'deep.tar'));
    console.log(`loading 127 layers took ${Math.round(performance.now() - start)} ms`);
    expect(await ok('run', '--rm', 'deep:1', 'sh', '-c', 'ls n | wc -l; cat n/126')).toBe('10\nn/126');
    await ok('rmi', 'deep:1');
  }, 60_000);

  withSkopeo.test(
    'skopeo reads our archives and we read its',
    async () => {
      await using folder = await tempFolder();
      const at = (name: string): string => join(folder.path, name);
      const skopeo = (...args: string[]): Promise<string> => runOk(['skopeo', '--insecure-policy', ...args]);
      const id = await ok('inspect', '-f', '{{.Id}}', 'busybox');
      await ok('save', '-o', at('ours.tar'), 'busybox');
      await ok('rmi', '-f', 'busybox');
      for (const [from, to] of [
        [`docker-archive:${at('ours.tar')}`, `docker-archive:${at('a.tar')}:busybox:latest`],
        [`oci-archive:${at('ours.tar')}`, `oci-archive:${at('b.tar')}:busybox:latest`],
        [`docker-archive:${at('ours.tar')}`, `oci-archive:${at('c.tar')}:busybox:latest`],
      ] as const) {
        await skopeo('copy', '-q', from, to);
        const said = await ok('load', '-i', to.split(':')[1] ?? '');
        const loaded = /Loaded image(?: ID)?: (.+)/.exec(said)?.[1] ?? '';
        const got = await ok('inspect', '-f', '{{.Id}}', loaded);
        if (from.startsWith('docker-archive') && to.startsWith('docker-archive')) expect(got).toBe(id);
        expect(await ok('run', '--rm', loaded, 'echo', 'hello')).toBe('hello');
        await ok('rmi', '-f', got);
      }
      await ok('load', '-q', '-i', at('ours.tar'));
      expect(await ok('inspect', '-f', '{{.Id}}', 'busybox')).toBe(id);
    },
    60_000,
  );

  withDockerd.test(
    "Debian's dockerd loads what we save and we load what it saves, byte for byte the same image",
    async () => {
      await using folder = await tempFolder();
      await using dockerd = await startDockerd({ busybox: false });
      const theirs = async (...args: string[]): Promise<string> =>
        (await runOk([...dockerCommand(), ...args], { env: { DOCKER_HOST: dockerd.host } })).trim();
      await Bun.write(
        join(folder.path, 'built.tar'),
        oldArchive([{ image: imageOf(await builtLayers({ linksToLowerLayers: false })), tags: ['built:1', 'also:2'] }]),
      );
      await ok('load', '-i', join(folder.path, 'built.tar'));
      const id = await ok('inspect', '-f', '{{.Id}}', 'built:1');
      await ok('save', '-o', join(folder.path, 'ours.tar'), 'built:1', 'also:2');
      await ok('rmi', 'built:1', 'also:2');
      await theirs('load', '-i', join(folder.path, 'ours.tar'));
      expect(await theirs('inspect', '-f', '{{.Id}}', 'also:2')).toBe(id);
      expect(await theirs('inspect', '-f', '{{json .RootFS.Layers}}', 'built:1')).toContain('sha256:');
      await theirs('save', '-o', join(folder.path, 'theirs.tar'), 'built:1', 'also:2');
      await ok('load', '-i', join(folder.path, 'theirs.tar'));
      expect(await ok('inspect', '-f', '{{.Id}}', 'also:2')).toBe(id);
      expect(await ok('run', '--rm', 'built:1', 'sh', '-c', look)).toBe(expectedLook);
      await ok('rmi', 'built:1', 'also:2');
    },
    60_000,
  );
});
