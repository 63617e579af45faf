import { invalidArgument, messageOf } from '#base/errors.ts';
import type { TypeAndAttributes } from '#api/buildkit/messages.ts';
import { cacheConfigType, encodeRecords, inlineKey, type PortableRecord } from '#builder/cache/portable-cache.ts';
import type { Bundle, BundleBlob } from '#core/image-bundle.ts';
import type { LayerForm } from '#builder/ports.ts';
import type { SolvedBuild } from '#builder/solver/solve.ts';
import { sha256 } from '#oci/digest.ts';
import type { ImageConfigFile } from '#oci/image-config.ts';
import { mediaTypes, ociLayerType } from '#oci/manifest.ts';
import { parseReference, withDefaultTag } from '#oci/reference.ts';
import { authOf } from './client-services.ts';
import { ClientContent } from './client-content.ts';
import type { ClientSession } from './client-session.ts';
import { layerForm } from './export-options.ts';
import { isTrue } from './frontend-options.ts';
import type { Job, KeptResult } from './job.ts';

const places = ['inline', 'registry', 'local'];

/** Rejects with InvalidArgument for a place that is not known. */
export function checkCacheExports(exports: readonly TypeAndAttributes[]): void {
  const unknown = exports.find(({ Type, Attrs }) => !places.includes(Type) && !isTrue(Attrs['ignore-error'] ?? ''));
  if (unknown !== undefined)
    throw invalidArgument(
      `caches of the type ${JSON.stringify(unknown.Type)} are not written by this daemon: expected inline, registry or local`,
    );
}

/** Leaves the results of steps where other machines find them. Returns what clients want to know of that. */
export async function exportCaches(
  exports: readonly TypeAndAttributes[],
  { job, results, session }: { readonly job: Job; readonly results: readonly KeptResult[]; readonly session: () => Promise<ClientSession> },
): Promise<Record<string, string>> {
  const response: Record<string, string> = {};
  for (const { Type, Attrs } of exports) {
    if (Type === 'inline') continue;
    const vertex = job.progress.vertex(
      `export cache ${Type} ${Attrs.ref ?? Attrs.dest ?? ''}`,
      `exporting cache to ${Type === 'local' ? 'client directory' : Type}`,
    );
    try {
      await vertex.run(async () => {
        const bundle = await cacheBundle(job, results, { isMax: Attrs.mode === 'max', form: layerForm(Attrs) });
        await send(Type, Attrs, bundle, { job, results, session: await session() });
        const root = bundle.manifests.at(-1)?.descriptor;
        vertex.part(`writing cache manifest ${root?.digest ?? ''}`, { isDone: true });
        // Clients look for it when they have a directory to describe.
        if (Type === 'local' || response['cache.manifest'] === undefined) response['cache.manifest'] = JSON.stringify(root);
      });
    } catch (err) {
      if (!isTrue(Attrs['ignore-error'] ?? '')) throw err;
      vertex.output('stderr', new TextEncoder().encode(`the cache was not exported: ${messageOf(err)}\n`));
    }
  }
  return response;
}

async function send(
  type: string,
  attributes: TypeAndAttributes['Attrs'],
  bundle: Bundle,
  { job, results, session }: { readonly job: Job; readonly results: readonly KeptResult[]; readonly session: ClientSession },
): Promise<void> {
  if (type === 'registry') {
    const reference = withDefaultTag(parseReference(attributes.ref ?? ''));
    const auth = await authOf(session, reference.domain, job.signal);
    await results[0]?.build.workspace.push(bundle, { reference, auth, report: () => undefined }, job.signal);
  } else if (type === 'local') {
    const content = new ClientContent(session, `local:${attributes.dest ?? ''}`);
    for (const { descriptor, open } of bundle.blobs) await content.write(descriptor.digest, descriptor.size, open(job.signal), job.signal);
    for (const { descriptor, bytes } of bundle.manifests) await content.write(descriptor.digest, bytes.length, once(bytes), job.signal);
  } else
    throw invalidArgument(`caches of the type ${JSON.stringify(type)} are not written by this daemon: expected inline, registry or local`);
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array, void, undefined> {
  yield await Promise.resolve(bytes);
}

/** `isMax`: also of the steps whose layers are not in the result. */
async function cacheBundle(
  job: Job,
  results: readonly KeptResult[],
  { isMax, form }: { readonly isMax: boolean; readonly form: LayerForm },
): Promise<Bundle> {
  const records = new Map<string, PortableRecord>();
  const blobs = new Map<string, BundleBlob>();
  for (const { build } of results) {
    const own = new Set(build.layers.map(({ diffId }) => diffId));
    for (const { key, record } of build.steps) {
      const { layer, description, parentChain, sizeBytes, createdAt } = record;
      if (!isMax && layer !== null && !own.has(layer.diffId)) continue;
      const blob = layer && (await build.workspace.blobOf(layer, form, job.signal));
      if (blob !== null) blobs.set(blob.descriptor.digest, blob);
      const portable = layer === null || blob === null ? null : { diffId: layer.diffId, blob: blob.descriptor };
      records.set(key, { key, description, parentChain, sizeBytes, createdAt, layer: portable });
    }
  }
  const config = encodeRecords([...records.values()].sort((a, b) => (a.key < b.key ? -1 : 1)));
  const configBlob: BundleBlob = {
    descriptor: { mediaType: cacheConfigType, digest: sha256(config), size: config.length },
    open: () => once(config),
  };
  const layers = [...blobs.values()].map(({ descriptor }) => ({ ...descriptor, mediaType: ociLayerType(descriptor.mediaType) }));
  const manifest = new TextEncoder().encode(
    JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.ociManifest, config: configBlob.descriptor, layers }),
  );
  const descriptor = { mediaType: mediaTypes.ociManifest, digest: sha256(manifest), size: manifest.length };
  return { blobs: [...blobs.values(), configBlob], manifests: [{ descriptor, bytes: manifest }] };
}

/** An image's configuration with the records of its own layers in it, for whoever has the image. */
export function withInlineCache(build: SolvedBuild, config: ImageConfigFile): ImageConfigFile {
  const own = new Map(build.layers.map(layer => [layer.diffId, layer]));
  const records = build.steps.flatMap(({ key, record }): PortableRecord[] => {
    const { layer, description, parentChain, sizeBytes, createdAt } = record;
    if (layer !== null && !own.has(layer.diffId)) return [];
    const portable = layer && { diffId: layer.diffId, blob: { mediaType: layer.mediaType, digest: layer.digest, size: layer.sizeBytes } };
    return [{ key, description, parentChain, sizeBytes, createdAt, layer: portable }];
  });
  return { ...config, [inlineKey]: Buffer.from(encodeRecords(records)).toString('base64') } as ImageConfigFile;
}
