import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { createGzip } from 'node:zlib';
import { Readable } from 'node:stream';
import { baseImage } from '../scripts/base-images.ts';
import { ApiClient } from '../test/helpers/http.ts';
import { makeTar, type MadeImage, oldArchive } from '../test/helpers/make-image.ts';
import { type Registry, startRegistry } from '../test/helpers/registry.ts';
import { sha256 } from '../src/oci/digest.ts';
import type { Measure, Sample } from './measures.ts';
import { percentile } from './statistics.ts';
import { cli, pssMb, type Target, timed } from './target.ts';

const megabyte = 1024 * 1024;
/** Bounds of the project, as ratios to Docker, and in the figures' own units where one daemon alone is meant. */
const bounds = { pull: 0.7, other: 0.8, memoryMb: 200, answerMs: 20 };

interface Kind {
  readonly title: string;
  /** Path of an archive with the image, whose name is `tag`. */
  readonly archive: () => Promise<string>;
  readonly tag: string;
}

const kinds: readonly Kind[] = [
  { title: '80 MB in 1 layer', tag: 'debian:12', archive: () => baseImage('debian') },
  {
    title: '20 layers of 10 MB',
    tag: 'bench-layers:1',
    archive: () =>
      archiveOf('bench-layers:1', () => Array.from({ length: 20 }, (_, at) => makeTar({ [`data-${String(at)}`]: noise(10 * megabyte) }))),
  },
  {
    title: '20,000 small files in 1 layer',
    tag: 'bench-files:1',
    archive: () =>
      archiveOf('bench-files:1', () => {
        const names = Array.from({ length: 20_000 }, (_, at) => `usr/share/${String(at % 200)}/file-${String(at)}`);
        return [makeTar(Object.fromEntries(names.map(name => [name, noise(512)])))];
      }),
  },
];

/** The images that the project measures itself with: one large layer, many of middle size, many small files; and what a pull does to the rest. */
export const imageMeasures: readonly Measure[] = [...kinds.map(measureOf), largeLayer()];

function measureOf({ title, tag, archive }: Kind): Measure {
  const row = (what: string): string => `${what}: ${title}`;
  return {
    name: `image ${title}`,
    share: 0.5,
    rows: {
      [row('load')]: { unit: 'ms', atMost: bounds.other },
      [row('save')]: { unit: 'ms', atMost: bounds.other },
      [row('push')]: { unit: 'ms', atMost: bounds.other },
      [row('pull')]: { unit: 'ms', atMost: bounds.pull },
    },
    round: async target => {
      const folder = await mkdtemp('/tmp/berth-b-');
      // A registry of its own for every round: a daemon remembers which blobs a registry it knows has already.
      await using registry = await startRegistry();
      try {
        await cli(target, 'rmi', '-f', tag).catch(() => undefined);
        const load = await timed(target, 'load', '-q', '-i', await archive());
        const save = await timed(target, 'save', '-o', join(folder, 'image.tar'), tag);
        const name = `${registry.address}/bench/image:1`;
        await cli(target, 'tag', tag, name);
        const push = await timed(target, 'push', '-q', name);
        await cli(target, 'rmi', '-f', name, tag);
        const pull = await timed(target, 'pull', '-q', name);
        await cli(target, 'rmi', '-f', name);
        return { [row('load')]: load, [row('save')]: save, [row('push')]: push, [row('pull')]: pull };
      } finally {
        await rm(folder, { recursive: true, force: true });
      }
    },
  };
}

let largeRegistry: Registry | undefined;

function largeLayer(): Measure {
  return {
    name: 'pull of 1 GB',
    share: 0.2,
    rows: {
      'pull of a layer of 1 GB': { unit: 'ms', atMost: bounds.pull },
      'peak memory during it': { unit: 'MB', limit: bounds.memoryMb },
      '_ping during it, 99th percentile': { unit: 'ms', limit: bounds.answerMs },
      'ps during it, 99th percentile': { unit: 'ms', limit: bounds.answerMs },
    },
    prepare: async () => {
      if (largeRegistry !== undefined) return undefined;
      const registry = await startRegistry();
      largeRegistry = registry;
      await publishLarge(registry);
      return {
        async [Symbol.asyncDispose]() {
          largeRegistry = undefined;
          await registry[Symbol.asyncDispose]();
        },
      };
    },
    round: async (target): Promise<Sample> => {
      const name = `${largeRegistry?.address ?? ''}/large:1`;
      await cli(target, 'rmi', '-f', name).catch(() => undefined);
      const pulling = timed(target, 'pull', '-q', name);
      let isOver = false;
      const over = pulling.finally(() => (isOver = true)).catch(() => undefined);
      const [peak, pings, lists] = await Promise.all([
        peakMb(target, () => isOver),
        answers(target, '/_ping', () => isOver),
        answers(target, '/containers/json', () => isOver),
        over,
      ]);
      const ms = await pulling;
      await cli(target, 'rmi', '-f', name);
      return {
        'pull of a layer of 1 GB': ms,
        'peak memory during it': peak,
        '_ping during it, 99th percentile': percentile(pings, 99),
        'ps during it, 99th percentile': percentile(lists, 99),
      };
    },
  };
}

async function peakMb(target: Target, isOver: () => boolean): Promise<number> {
  let peak = 0;
  while (!isOver()) {
    peak = Math.max(peak, pssMb(target.processes()));
    await Bun.sleep(250);
  }
  return peak;
}

async function answers(target: Target, path: string, isOver: () => boolean): Promise<number[]> {
  const api = new ApiClient(target.host.replace('unix://', ''), 'v1.41');
  const times: number[] = [];
  while (!isOver()) {
    const start = performance.now();
    await api.get(path);
    times.push(performance.now() - start);
    await Bun.sleep(25);
  }
  return times;
}

/** Bytes that do not get smaller. */
function noise(length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let at = 0; at < length; at += 65_536) crypto.getRandomValues(bytes.subarray(at, at + 65_536));
  return bytes;
}

const made = new Map<string, Promise<string>>();

/** An archive with these layers, made once in a run. */
function archiveOf(tag: string, layers: () => readonly Uint8Array[]): Promise<string> {
  const known = made.get(tag) ?? writeArchive(tag, layers());
  made.set(tag, known);
  return known;
}

async function writeArchive(tag: string, layers: readonly Uint8Array[]): Promise<string> {
  const folder = await mkdtemp('/tmp/berth-i-');
  process.on('exit', () => Bun.spawnSync(['rm', '-rf', folder]));
  const image = imageOf(layers.map(layer => sha256(layer)));
  const whole: MadeImage = { ...image, layers };
  const path = join(folder, 'image.tar');
  await Bun.write(path, oldArchive([{ image: whole, tags: [tag] }]) as Uint8Array<ArrayBuffer>);
  return path;
}

function imageOf(diffIds: readonly string[]): Omit<MadeImage, 'layers'> {
  const json = {
    created: '2024-01-02T03:04:05Z',
    architecture: 'amd64',
    os: 'linux',
    config: {},
    rootfs: { type: 'layers', diff_ids: diffIds },
  };
  const config = new TextEncoder().encode(JSON.stringify(json));
  return { id: sha256(config), config, diffIds };
}

/** Puts an image whose one layer, compressed, is 1 GB into the registry, without a daemon. */
async function publishLarge(registry: Registry): Promise<void> {
  const folder = await mkdtemp('/tmp/berth-l-');
  try {
    const block = noise(32 * megabyte);
    const [diff, blob] = [new Bun.CryptoHasher('sha256'), new Bun.CryptoHasher('sha256')];
    // One file after the other: together they are the archive, whose end the last one has.
    const parts = async function* (): AsyncGenerator<Uint8Array> {
      for (let at = 0; at < 32; at += 1) {
        const tar = makeTar({ [`data-${String(at)}`]: block });
        const part = at === 31 ? tar : tar.subarray(0, tar.length - 1024);
        diff.update(part);
        yield await Promise.resolve(part);
      }
    };
    const path = join(folder, 'layer');
    const file = Bun.file(path).writer();
    for await (const chunk of Readable.from(parts()).pipe(createGzip({ level: 1 }))) {
      blob.update(chunk as Uint8Array);
      void file.write(chunk as Uint8Array<ArrayBuffer>);
      await file.flush();
    }
    await file.end();
    const layer = `sha256:${blob.digest('hex')}`;
    const image = imageOf([`sha256:${diff.digest('hex')}`]);
    await putBlob(registry, layer, Bun.file(path));
    await putBlob(registry, image.id, new Blob([image.config as Uint8Array<ArrayBuffer>]));
    const mediaType = 'application/vnd.docker.distribution.manifest.v2+json';
    const manifest = {
      ...{ schemaVersion: 2, mediaType },
      config: { mediaType: 'application/vnd.docker.container.image.v1+json', digest: image.id, size: image.config.length },
      layers: [{ mediaType: 'application/vnd.docker.image.rootfs.diff.tar.gzip', digest: layer, size: Bun.file(path).size }],
    };
    const url = `http://${registry.address}/v2/large/manifests/1`;
    const answer = await fetch(url, { method: 'PUT', headers: { 'Content-Type': mediaType }, body: JSON.stringify(manifest) });
    if (!answer.ok) throw new Error(`${url}: ${String(answer.status)} ${await answer.text()}`);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function putBlob(registry: Registry, digest: string, body: Blob): Promise<void> {
  const begun = await fetch(`http://${registry.address}/v2/large/blobs/uploads/`, { method: 'POST' });
  const url = new URL(begun.headers.get('location') ?? '', `http://${registry.address}`);
  url.searchParams.set('digest', digest);
  const answer = await fetch(url, { method: 'PUT', headers: { 'Content-Type': 'application/octet-stream' }, body });
  if (!answer.ok) throw new Error(`${url.href}: ${String(answer.status)} ${await answer.text()}`);
}
