import { invalidArgument, messageOf } from '#base/errors.ts';
import type { Attributes, TypeAndAttributes } from '#api/buildkit/messages.ts';
import { decodeRecords, inlineKey, type PortableRecord, type RemoteCache } from '#builder/cache/portable-cache.ts';
import type { BuildWorkspace } from '#builder/ports.ts';
import { parseManifest, selectManifest } from '#oci/manifest.ts';
import type { Platform } from '#oci/platform.ts';
import { canonicalString, parseReference, withDefaultTag } from '#oci/reference.ts';
import { authOf } from './client-services.ts';
import { ClientContent } from './client-content.ts';
import type { ClientSession } from './client-session.ts';
import type { Job } from './job.ts';

/** Where blobs are had: a registry, or a directory of the client. */
interface BlobPlace {
  /** The whole of the cache or the image. */
  root(signal: AbortSignal): Promise<Uint8Array>;
  manifest(digest: string, signal: AbortSignal): Promise<Uint8Array>;
  small(digest: string, sizeBytes: number, signal: AbortSignal): Promise<Uint8Array>;
  blob(blob: { readonly digest: string; readonly size: number }, signal: AbortSignal): AsyncIterable<Uint8Array>;
}

/** What the client wants to be looked at for results of steps. Frontends are told in their options as well. */
export function importsOf(given: readonly TypeAndAttributes[], options: Attributes): readonly TypeAndAttributes[] {
  if (given.length > 0) return given;
  const text = options['cache-imports'];
  if (text !== undefined && text !== '') return JSON.parse(text) as readonly TypeAndAttributes[];
  return (options['cache-from'] ?? '')
    .split(',')
    .filter(ref => ref !== '')
    .map(ref => ({ Type: 'registry', Attrs: { ref } }));
}

/** Opens caches. One that cannot be read is told of and left out: it would only have saved time. */
export async function openCaches(
  imports: readonly TypeAndAttributes[],
  {
    job,
    session,
    workspace,
    platform,
  }: { readonly job: Job; readonly session: ClientSession | undefined; readonly workspace: BuildWorkspace; readonly platform: Platform },
): Promise<RemoteCache[]> {
  const opened = await Promise.all(
    imports.map(async each => {
      const name = each.Attrs.ref ?? each.Attrs.src ?? '';
      const vertex = job.progress.vertex(`import ${each.Type} ${name}`, `importing cache manifest from ${name}`);
      try {
        return await vertex.run(async () => await openCache(await placeOf(each, { job, session, workspace }), platform, job.signal));
      } catch (err) {
        job.signal.throwIfAborted();
        vertex.output('stderr', new TextEncoder().encode(`the cache is left out: ${messageOf(err)}\n`));
        return undefined;
      }
    }),
  );
  return opened.filter(cache => cache !== undefined);
}

async function placeOf(
  { Type, Attrs }: TypeAndAttributes,
  { job, session, workspace }: { readonly job: Job; readonly session: ClientSession | undefined; readonly workspace: BuildWorkspace },
): Promise<BlobPlace> {
  if (Type === 'registry') {
    const reference = withDefaultTag(parseReference(Attrs.ref ?? ''));
    const auth = session && (await authOf(session, reference.domain, job.signal));
    const repository = workspace.registry(reference, { actions: 'pull', auth });
    const all = async (chunks: AsyncIterable<Uint8Array>): Promise<Uint8Array> => Buffer.concat(await Array.fromAsync(chunks));
    return {
      root: async signal => (await repository.manifest(reference.digest ?? reference.tag ?? canonicalString(reference), signal)).bytes,
      manifest: async (digest, signal) => (await repository.manifest(digest, signal)).bytes,
      small: async (digest, size, signal) => await all(repository.blob({ digest: digest as never, size }, signal)),
      blob: (blob, signal) => repository.blob(blob as never, signal),
    };
  }
  if (Type === 'local') {
    const digest = Attrs.digest ?? '';
    if (session === undefined || digest === '') throw invalidArgument(`the cache directory ${Attrs.src ?? ''} has nothing in it`);
    const content = new ClientContent(session, `local:${Attrs.src ?? ''}`);
    return {
      root: signal => content.readAll(digest, signal),
      manifest: (wanted, signal) => content.readAll(wanted, signal),
      small: (wanted, _size, signal) => content.readAll(wanted, signal),
      blob: (blob, signal) => content.read(blob.digest, signal),
    };
  }
  throw invalidArgument(`caches of the type ${JSON.stringify(Type)} are not read by this daemon: expected registry or local`);
}

async function openCache(place: BlobPlace, platform: Platform, signal: AbortSignal): Promise<RemoteCache> {
  let manifest = parseManifest(await place.root(signal));
  if (manifest.kind === 'index') {
    const entry = selectManifest(manifest, platform) ?? manifest.manifests[0];
    if (entry === undefined) throw invalidArgument('the index is empty');
    manifest = parseManifest(await place.manifest(entry.digest, signal));
  }
  if (manifest.kind === 'index') throw invalidArgument('an index of indexes is no cache');
  const config = JSON.parse(new TextDecoder().decode(await place.small(manifest.config.digest, manifest.config.size, signal))) as Record<
    string,
    unknown
  >;
  const inline = config[inlineKey];
  const records = decodeRecords(typeof inline === 'string' ? JSON.parse(Buffer.from(inline, 'base64').toString()) : config);
  const layers = new Set<string>(manifest.layers.map(({ digest }) => digest));
  // The blobs of an image are named by its manifest, which was not written yet when its configuration was.
  const diffIds = ((config.rootfs as { readonly diff_ids?: readonly string[] } | undefined)?.diff_ids ?? []).map(
    (diffId, index) => [diffId, manifest.layers[index]] as const,
  );
  const byDiffId = new Map(diffIds);
  const known = new Map<string, PortableRecord>();
  for (const record of records) {
    const blob = record.layer === null ? null : (byDiffId.get(record.layer.diffId) ?? record.layer.blob);
    if (blob !== null && !layers.has(blob.digest)) continue;
    known.set(record.key, { ...record, layer: blob === null || record.layer === null ? null : { ...record.layer, blob } });
  }
  return {
    find(key) {
      const record = known.get(key);
      if (record === undefined) return undefined;
      const { layer } = record;
      return { record, open: stop => (layer === null ? emptyBytes() : place.blob(layer.blob, stop)) };
    },
  };
}

async function* emptyBytes(): AsyncGenerator<Uint8Array, void, undefined> {
  await Promise.resolve();
}
