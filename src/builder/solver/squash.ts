import { createHash } from 'node:crypto';
import { kindOf } from '#base/errors.ts';
import type { ContentInfo } from '#core/content.ts';
import { parseDigest, sha256 } from '#oci/digest.ts';
import type { ImageConfigFile } from '#oci/image-config.ts';
import { mergeLayers } from '#oci/tar/merge-layers.ts';
import { writeTar } from '#oci/tar/writer.ts';
import type { CacheRecord } from '../cache/build-cache.ts';
import type { Layer } from '../ports.ts';
import type { StageResult } from './build.ts';
import type { BuildSession } from './session.ts';

export interface Squashed {
  readonly config: ImageConfigFile;
  readonly layers: readonly Layer[];
}

/** One layer for everything that a build has added to its base image. The history keeps its steps, and says that they were merged. */
export async function squash(session: BuildSession, { layers, base }: StageResult, config: ImageConfigFile): Promise<Squashed> {
  const [below, added] = [layers.slice(0, base.layers), layers.slice(base.layers)];
  const key = sha256(JSON.stringify(['squash', below.at(-1)?.chainId ?? null, added.map(({ diffId }) => diffId)]));
  const { layer, createdAt } = (await reuse(session, key)) ?? (await merge(session, key, below.at(-1), added));
  if (layer === null) return { config, layers };
  session.use(session.context.cache.use(key));
  const all = [...below, layer];
  const id = session.workspace.idOf(config);
  const comment = base.id === undefined ? `create new from ${id}` : `merge ${id} to ${base.id}`;
  const steps = (config.history ?? []).map((entry, index) => (index < base.history ? entry : { ...entry, empty_layer: true }));
  return {
    layers: all,
    config: {
      ...config,
      created: createdAt,
      rootfs: { ...config.rootfs, diff_ids: all.map(({ diffId }) => diffId) },
      history: [...steps, { created: createdAt, comment }],
    },
  };
}

async function reuse({ context, workspace }: BuildSession, key: string): Promise<CacheRecord | undefined> {
  const known = context.cache.get(key);
  if (known?.layer === undefined || known.layer === null) return undefined;
  try {
    if (await workspace.hold(known.layer)) return known;
  } catch (err) {
    if (kindOf(err) !== 'NotFound') throw err;
  }
  context.cache.delete(key);
  return undefined;
}

async function merge(session: BuildSession, key: string, base: Layer | undefined, added: readonly Layer[]): Promise<CacheRecord> {
  const { workspace, signal, context } = session;
  const blobs = await Promise.all(added.map(layer => workspace.blobOf(layer, { compression: 'uncompressed', isForced: true }, signal)));
  await using file = await workspace.file();
  const blob = await writeAll(
    file.path,
    writeTar(
      mergeLayers(
        blobs.map(
          ({ open: read }) =>
            () =>
              read(signal),
        ),
      ),
    ),
    signal,
  );
  const layer = await workspace.stack(file, blob, base?.chainId, signal);
  const description = `squash of ${String(added.length)} layers`;
  return context.cache.put(key, { description, parentChain: base?.chainId ?? null, sizeBytes: blob.sizeBytes, layer });
}

async function writeAll(path: string, chunks: AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<ContentInfo> {
  const hash = createHash('sha256');
  let sizeBytes = 0;
  const writer = Bun.file(path).writer();
  try {
    for await (const chunk of chunks) {
      signal.throwIfAborted();
      hash.update(chunk);
      sizeBytes += chunk.length;
      await writer.write(chunk);
      await writer.flush();
    }
  } finally {
    await writer.end();
  }
  return { digest: parseDigest(`sha256:${hash.digest('hex')}`), sizeBytes };
}
