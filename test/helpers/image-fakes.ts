import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { dataLoss, notFound } from '#base/errors.ts';
import { Latest } from '#base/latest.ts';
import type { ContentInfo, ContentStore } from '#core/content.ts';
import type { EngineEvent, EventPublisher } from '#core/events.ts';
import type { RecordStore } from '#core/records.ts';
import type { ChainId, PendingLayer, Snapshotter } from '#core/snapshots.ts';
import { type Digest, sha256 } from '#oci/digest.ts';

/** A content store in memory that writes a file only when somebody asks for its path. */
export async function fakeContent(): Promise<
  ContentStore & AsyncDisposable & { readonly blobs: Map<Digest, Uint8Array>; readonly partial: Map<Digest, Uint8Array[]> }
> {
  const dir = await mkdtemp(join(tmpdir(), 'berth-content-'));
  const blobs = new Map<Digest, Uint8Array>();
  const partial = new Map<Digest, Uint8Array[]>();
  let ingests = 0;
  const store = (data: Uint8Array): ContentInfo => {
    const digest = sha256(data);
    blobs.set(digest, data);
    return { digest, sizeBytes: data.length };
  };
  const infoOf = (digest: Digest): ContentInfo | undefined => {
    const data = blobs.get(digest);
    return data === undefined ? undefined : { digest, sizeBytes: data.length };
  };
  return {
    blobs,
    partial,
    file: () => Promise.reject(new Error('not part of this fake')),
    info: digest => Promise.resolve(infoOf(digest)),
    diskUsage: digest => Promise.resolve(infoOf(digest)?.sizeBytes),
    verify: digest => Promise.resolve(blobs.has(digest) ? sha256(blobs.get(digest) as Uint8Array) === digest : undefined),
    read(digest) {
      const data = blobs.get(digest);
      return data === undefined ? Promise.reject(notFound(`content ${digest}`)) : Promise.resolve(data);
    },
    async path(digest) {
      const data = blobs.get(digest);
      if (data === undefined) throw notFound(`content ${digest}`);
      const path = join(dir, digest.replace(':', '-'));
      await Bun.write(path, data);
      return path;
    },
    writer(options: { readonly resume?: Digest } = {}) {
      const parts: Uint8Array[] = [...(partial.get(options.resume ?? ('' as Digest)) ?? [])];
      let keeps = options.resume !== undefined;
      const grown = new Latest<number>();
      const path = join(dir, `ingest-${String((ingests += 1))}`);
      let sizeBytes = parts.reduce((bytes, part) => bytes + part.length, 0);
      const close = async (): Promise<void> => {
        grown.fail(new Error('closed without a commit'));
        if (options.resume !== undefined && keeps && sizeBytes > 0) partial.set(options.resume, parts);
        if (options.resume !== undefined && !keeps) partial.delete(options.resume);
        return await Promise.resolve();
      };
      return Promise.resolve({
        growing: { path, grown },
        get sizeBytes() {
          return sizeBytes;
        },
        write(chunk: Uint8Array) {
          parts.push(chunk.slice());
          sizeBytes += chunk.length;
          return Promise.resolve();
        },
        async commit(expected?: { readonly digest?: Digest; readonly sizeBytes?: number }) {
          const data = Buffer.concat(parts);
          keeps = false;
          if (expected?.sizeBytes !== undefined && expected.sizeBytes !== data.length) {
            throw dataLoss(`expected ${expected.sizeBytes} bytes, got ${data.length}`);
          }
          if (expected?.digest !== undefined && expected.digest !== sha256(data)) {
            throw dataLoss(`expected ${expected.digest}, got ${sha256(data)}`);
          }
          await Bun.write(path, data);
          grown.end();
          return store(data);
        },
        discard() {
          keeps = false;
          return close();
        },
        [Symbol.asyncDispose]: close,
      });
    },
    unfinishedUsage: isMeant =>
      Promise.resolve(
        [...partial]
          .filter(([digest]) => isMeant?.(digest) ?? true)
          .flatMap(([, parts]) => parts)
          .reduce((bytes, part) => bytes + part.length, 0),
      ),
    removeUnfinished(olderThanMs, isMeant) {
      const gone = olderThanMs > 0 ? [] : [...partial.keys()].filter(digest => isMeant?.(digest) ?? true);
      const freed = gone.flatMap(digest => partial.get(digest) ?? []).reduce((bytes, part) => bytes + part.length, 0);
      for (const digest of gone) partial.delete(digest);
      return Promise.resolve(freed);
    },
    put: data => Promise.resolve(store(data)),
    remove: digest => Promise.resolve(blobs.delete(digest)),
    async *list() {
      for (const digest of [...blobs.keys()]) {
        const info = infoOf(digest);
        if (info !== undefined) yield await Promise.resolve(info);
      }
    },
    [Symbol.asyncDispose]: () => rm(dir, { recursive: true, force: true }),
  };
}

export type FakeSnapshots = Snapshotter & {
  /** By chain id: the parent and the size. */
  readonly layers: Map<ChainId, { readonly parent: ChainId | undefined; readonly sizeBytes: number }>;
  /** Unpacked layers that were neither committed nor disposed. */
  readonly pending: Set<PendingLayer>;
  readonly pins: Set<ChainId>;
  /** How often something was unpacked. */
  unpacks: number;
};

/** Keeps no files: a layer is the digest of its uncompressed bytes. */
export function fakeSnapshots(): FakeSnapshots {
  const layers: FakeSnapshots['layers'] = new Map();
  const pending = new Set<PendingLayer>();
  const pins = new Set<ChainId>();
  const nothing = (): Promise<never> => Promise.reject(new Error('not part of this fake'));
  const snapshots: FakeSnapshots = {
    name: 'fake',
    layers,
    pending,
    pins,
    unpacks: 0,
    has: chain => layers.has(chain),
    chains: () => [...layers].map(([chainId, { parent }]) => ({ chainId, parent })),
    layerSize: chain => layers.get(chain)?.sizeBytes,
    idMapOf: () => undefined,
    layerDirs: chain => [`/layers/${chain}`],
    diskUsage: chain => Promise.resolve(layers.get(chain)?.sizeBytes),
    tarSize: () => undefined,
    tar: () => {
      throw new Error('not part of this fake');
    },
    check: nothing,
    async unpack(tar) {
      snapshots.unpacks += 1;
      const parts: Uint8Array[] = [];
      if ('path' in tar) parts.push(await Bun.file(tar.path).bytes());
      else if ('growing' in tar) {
        for await (const _readable of tar.growing.grown);
        parts.push(await Bun.file(tar.growing.path).bytes());
      } else for await (const chunk of tar.stream) parts.push(chunk.slice());
      const data = Buffer.concat(parts);
      const plain = data[0] === 0x1f && data[1] === 0x8b ? gunzipSync(data) : data;
      if (plain.length % 512 !== 0) throw dataLoss('truncated tar archive');
      const layer: PendingLayer = {
        unpacked: { diffId: sha256(plain), sizeBytes: plain.length },
        commit(chainId, parent) {
          if (parent !== undefined && !layers.has(parent)) return Promise.reject(notFound(`layer ${parent}`));
          if (!layers.has(chainId)) layers.set(chainId, { parent, sizeBytes: plain.length });
          pending.delete(layer);
          return Promise.resolve();
        },
        replace: nothing,
        [Symbol.asyncDispose]() {
          pending.delete(layer);
          return Promise.resolve();
        },
      };
      pending.add(layer);
      return layer;
    },
    pinned: () => pins,
    collect(keep) {
      const needed = new Set<ChainId>();
      for (const start of [...keep, ...pins]) {
        for (let chain: ChainId | undefined = start; chain !== undefined; chain = layers.get(chain)?.parent) needed.add(chain);
      }
      let freed = 0;
      for (const [chain, layer] of layers) {
        if (needed.has(chain)) continue;
        freed += layer.sizeBytes;
        layers.delete(chain);
      }
      return Promise.resolve(freed);
    },
    prepare: nothing,
    mount: nothing,
    unmount: nothing,
    remove: nothing,
    commit: nothing,
    keys: () => [],
    paths: () => ({ lowerDirs: [], upperDir: '', workDir: '', mergedDir: '', recipe: '' }),
    hold: nothing,
    usage: nothing,
  };
  return snapshots;
}

/** Records in memory; `reopen` in a test is passing the same object again. */
export function fakeRecords(): RecordStore {
  const tables = new Map<string, Map<string, string>>();
  return {
    table(noun) {
      const rows = tables.get(noun) ?? new Map<string, string>();
      tables.set(noun, rows);
      return {
        get: key => (rows.has(key) ? JSON.parse(rows.get(key) as string) : undefined),
        put: (key, value) => void rows.set(key, JSON.stringify(value)),
        delete: key => rows.delete(key),
        list: () => [...rows].map(([key, value]) => ({ key, value: JSON.parse(value) })),
      };
    },
    transaction: action => action(),
    close: () => undefined,
  };
}

export function fakeEvents(): EventPublisher & { readonly published: Omit<EngineEvent, 'timeNano'>[] } {
  const published: Omit<EngineEvent, 'timeNano'>[] = [];
  return { published, publish: event => void published.push(event) };
}
