import { afterAll, beforeAll, expect } from 'bun:test';
import { mkdir, rm, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { sha256 } from '#oci/digest.ts';
import { startDaemon, tempFolder, type TestDaemon } from '#test/helpers/daemon.ts';
import { eventually } from '#test/helpers/eventually.ts';
import { expectTraces, imageTraces } from '#test/helpers/image-traces.ts';
import { makeImage, makeTar, type MadeImage, oldArchive } from '#test/helpers/make-image.ts';
import { needs } from '#test/helpers/needs.ts';
import { run, runOk } from '#test/helpers/run.ts';
import { startSmallRegistry } from '#test/helpers/small-registry.ts';

const { describe, test } = needs('root', 'conmon', 'nft', 'mkfs', 'loop');
const megabyte = 1024 * 1024;
const noSpace = /no space left on device/i;

/** A data root on an ext4 file system of its own with 64 MB. */
describe('a full disk', () => {
  let folder: Awaited<ReturnType<typeof tempFolder>>;
  let dataRoot: string;
  let daemon: TestDaemon;
  let before: string[];

  beforeAll(async () => {
    folder = await tempFolder();
    dataRoot = join(folder.path, 'data');
    await mkdir(dataRoot);
    await runOk(['truncate', '-s', '64M', join(folder.path, 'disk')]);
    await runOk(['mkfs.ext4', '-q', '-m', '0', '-F', join(folder.path, 'disk')]);
    await runOk(['mount', '-o', 'loop', join(folder.path, 'disk'), dataRoot]);
    daemon = await startDaemon({ dataRoot, args: ['--insecure-registry', '127.0.0.0/8'] });
    before = imageTraces(daemon);
  }, 60_000);
  afterAll(async () => {
    await daemon?.[Symbol.asyncDispose]();
    // The daemon lets go of removed layers in the background.
    await eventually('the disk can be unmounted', async () => (await run(['umount', dataRoot])).exitCode === 0);
    await folder?.[Symbol.asyncDispose]();
  }, 60_000);

  const load = async (image: MadeImage): Promise<string> =>
    (await daemon.api.call('POST', '/images/load', { raw: new Uint8Array(oldArchive([{ image, tags: ['big:1'] }])) })).text;
  const filled = (data: Uint8Array, isCompressed = false): MadeImage => {
    const layer = makeTar({ data });
    const made = makeImage(['x']);
    const config = Buffer.from(made.config)
      .toString()
      .replace(made.diffIds[0] ?? '', sha256(layer));
    return { id: sha256(config), config: Buffer.from(config), layers: [isCompressed ? gzipSync(layer) : layer], diffIds: [sha256(layer)] };
  };
  const isHealthy = async (): Promise<void> => {
    await expectTraces(daemon, before);
    expect(await load(makeImage(['small']))).toContain('Loaded image: big:1');
    await daemon.api.expect('DELETE', '/images/big:1');
    await expectTraces(daemon, before);
    expect((await daemon.dockerOk('run', '--rm', 'busybox', 'echo', 'well')).trim()).toBe('well');
  };
  /** Takes all but a few blocks away; disposing gives them back. */
  const full = async (leaveBytes = 0): Promise<AsyncDisposable> => {
    const path = join(dataRoot, 'ballast');
    const { bavail, bsize } = await statfs(dataRoot);
    await runOk(['fallocate', '-l', String(bavail * bsize - leaveBytes - 64 * 1024), path]);
    await runOk(['sh', '-c', `dd if=/dev/zero bs=4096 of=${path}.rest count=$((${String(64 * 1024)} / 4096)) 2>/dev/null || true`]);
    return {
      async [Symbol.asyncDispose]() {
        await rm(path, { force: true });
        await rm(`${path}.rest`, { force: true });
      },
    };
  };

  test('load: a blob that does not fit, and a layer that does not fit beside its blob', async () => {
    expect(await load(filled(new Uint8Array(80 * megabyte)))).toMatch(noSpace);
    await isHealthy();
    expect(await load(filled(new Uint8Array(30 * megabyte).fill(7)))).toMatch(noSpace);
    await isHealthy();
    // A small blob with a large layer in it.
    expect(await load(filled(new Uint8Array(80 * megabyte), true))).toMatch(noSpace);
    await isHealthy();
  }, 60_000);

  test('import', async () => {
    const said = await daemon.api.call('POST', '/images/create?fromSrc=-&repo=big&tag=1', {
      raw: new Uint8Array(makeTar({ data: new Uint8Array(80 * megabyte) })),
    });
    expect(said.text).toMatch(noSpace);
    await isHealthy();
  }, 60_000);

  test('pull', async () => {
    await using registry = startSmallRegistry();
    const image = filled(new Uint8Array(80 * megabyte), true);
    const describe = (data: Uint8Array, mediaType: string): object => {
      registry.blobs.set(sha256(data), data);
      return { mediaType, digest: sha256(data), size: data.length };
    };
    const mediaType = 'application/vnd.oci.image.manifest.v1+json';
    const bytes = new TextEncoder().encode(
      JSON.stringify({
        schemaVersion: 2,
        mediaType,
        config: describe(image.config, 'application/vnd.oci.image.config.v1+json'),
        layers: image.layers.map(layer => describe(layer, 'application/vnd.oci.image.layer.v1.tar+gzip')),
      }),
    );
    registry.manifests.set('big:1', { bytes, mediaType });
    const said = await daemon.api.call('POST', `/images/create?fromImage=${registry.address}/big&tag=1`);
    expect(said.text).toMatch(noSpace);
    await isHealthy();
  }, 60_000);

  test('with nothing left at all: load, create and run say so, and work again when there is room', async () => {
    {
      await using _full = await full();
      const answers = {
        load: await load(makeImage(['small'])),
        create: (await daemon.api.post('/containers/create', { Image: 'busybox', Cmd: ['true'] })).text,
        run: (await daemon.docker(['run', '--rm', 'busybox', 'true'])).stderr,
      };
      await daemon.api.expect('POST', '/images/busybox/tag?repo=other&tag=1');
      await daemon.api.expect('POST', '/volumes/create', { body: { Name: 'vol' } });
      for (const what of ['load', 'create', 'run'] as const) expect(`${what}: ${answers[what]}`).toMatch(noSpace);
      // Small changes find the room that was kept for them: above all removing, which is the way out.
      await daemon.api.expect('DELETE', '/images/other:1');
      await daemon.api.expect('DELETE', '/volumes/vol');
      expect((await daemon.api.get('/_ping')).status).toBe(200);
      await daemon.api.expect('GET', '/images/busybox/json');
    }
    const all = await daemon.api.expect<unknown[]>('GET', '/containers/json?all=1');
    await daemon.removeContainers();
    expect(all.length).toBeLessThan(3);
    await isHealthy();
  }, 60_000);

  test('a container that fills the disk gets the error itself; it can be removed', async () => {
    const said = await daemon.docker(['run', '--name', 'filler', 'busybox', 'dd', 'if=/dev/zero', 'of=/fill', 'bs=64k']);
    expect(said.stderr).toMatch(noSpace);
    expect(said.exitCode).toBe(1);
    expect(await daemon.dockerOk('inspect', '-f', '{{.State.Status}} {{.State.ExitCode}}', 'filler')).toBe('exited 1\n');
    await daemon.restart();
    expect(await daemon.dockerOk('inspect', '-f', '{{.State.Status}} {{.State.ExitCode}}', 'filler')).toBe('exited 1\n');
    await daemon.dockerOk('rm', 'filler');
    await isHealthy();
  }, 60_000);
});
