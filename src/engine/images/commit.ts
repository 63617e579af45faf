import { notFound } from '#base/errors.ts';
import { failpoint } from '#base/failpoint.ts';
import { parseDigest, sha256 } from '#oci/digest.ts';
import type { ImageConfigFile, ImageExecConfig, ImageHealthcheck, ImageHistory } from '#oci/image-config.ts';
import { type Descriptor, mediaTypes } from '#oci/manifest.ts';
import { familiarString, type Reference } from '#oci/reference.ts';
import { addImage } from './add-image.ts';
import type { ImageContext } from './context.ts';
import { publishImageEvent } from './image-events.ts';
import type { ImageRecord } from './model.ts';
import { readHead, storeLayer } from './store-layer.ts';
import { parseTarget } from './tag.ts';

/** See `ImageResolver` of the containers. */
export interface CommitRequest {
  readonly parentId: string;
  readonly config: ImageExecConfig;
  readonly defaults: ImageExecConfig;
  readonly changes: readonly string[];
  readonly author: string;
  readonly comment: string;
  readonly createdBy: string;
  readonly repo: string;
  readonly tag: string;
}

/** The tar with nothing in it: an image needs no layer for it. */
const emptyLayer = sha256(new Uint8Array(1024));

export async function commitImage(
  context: ImageContext,
  request: CommitRequest,
  layer: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
): Promise<{ readonly id: string; readonly name: string }> {
  const name = request.repo === '' ? undefined : parseTarget(request.repo, request.tag);
  const exec = mergeDefaults(context.applyChanges(request.config, request.changes), request.defaults);
  const parent = context.store.get(parseDigest(request.parentId));
  if (parent === undefined) throw notFound(`No such image: ${request.parentId}`);
  await using lease = context.retention.lease();
  await lease.hold(
    [parent.id, parent.manifest, ...parent.layers.map(each => each.digest)],
    parent.layers.map(each => each.chainId),
  );
  const below = await context.store.config(parent.id);
  const chunks = layer[Symbol.asyncIterator]();
  try {
    const stored = await storeLayer(context, lease, { head: await readHead(chunks, 1), chunks, onBytes: () => undefined, signal });
    failpoint('image.commit.stored');
    const pending = await stored.take();
    await using _dropUnlessCommitted = pending;
    if (pending === undefined) throw new TypeError('a layer that was just stored has an owner already');
    const isEmpty = pending.unpacked.diffId === emptyLayer;
    const config = configOf(below, exec, request, isEmpty ? undefined : pending.unpacked.diffId);
    const own: Descriptor = { mediaType: mediaTypes.dockerLayer, digest: stored.blob.digest, size: stored.blob.sizeBytes };
    const image = await addImage(
      context,
      lease,
      {
        configBytes: new TextEncoder().encode(JSON.stringify(config)),
        config,
        manifestBytes: undefined,
        layers: [...parent.layers.map(descriptorOf), ...(isEmpty ? [] : [own])],
        names: name === undefined ? [] : [name],
        parent: parent.id,
      },
      { layer: () => Promise.resolve(pending) },
      signal,
    );
    await announce(context, image, name);
    return { id: image.id, name: name === undefined ? '' : familiarString(name) };
  } finally {
    await chunks.return?.();
  }
}

async function announce(context: ImageContext, image: ImageRecord, name: Reference | undefined): Promise<void> {
  if (name === undefined) return;
  context.store.put({ ...image, lastTaggedAt: new Date().toISOString() });
  await publishImageEvent(context, 'tag', image.id, { name: familiarString(name) });
}

const descriptorOf = ({ mediaType, digest, sizeBytes }: ImageRecord['layers'][number]): Descriptor => ({
  mediaType,
  digest,
  size: sizeBytes,
});

function configOf(below: ImageConfigFile, exec: ImageExecConfig, request: CommitRequest, diffId: string | undefined): ImageConfigFile {
  const created = new Date().toISOString();
  const step: ImageHistory = {
    created,
    ...(request.author === '' ? {} : { author: request.author }),
    created_by: request.createdBy,
    ...(request.comment === '' ? {} : { comment: request.comment }),
    ...(diffId === undefined ? { empty_layer: true } : {}),
  };
  const { author: _author, comment: _comment, parent: _parent, ...platform } = below;
  return {
    ...platform,
    created,
    ...(request.author === '' ? {} : { author: request.author }),
    ...(request.comment === '' ? {} : { comment: request.comment }),
    config: exec,
    rootfs: { type: 'layers', diff_ids: [...below.rootfs.diff_ids, ...(diffId === undefined ? [] : [diffId])] },
    history: [...(below.history ?? []), step],
  };
}

const nameOfVariable = (variable: string): string => variable.split('=', 1)[0] ?? '';

/** The container's own where the changed configuration says nothing; variables, labels, ports and volumes of both. */
function mergeDefaults(own: ImageExecConfig, defaults: ImageExecConfig): ImageExecConfig {
  const known = new Set((own.Env ?? []).map(nameOfVariable));
  const hasEntrypoint = (own.Entrypoint ?? []).length > 0;
  const cmd = !hasEntrypoint && (own.Cmd ?? []).length === 0 ? defaults.Cmd : own.Cmd;
  const entrypoint = hasEntrypoint ? own.Entrypoint : (own.Entrypoint ?? defaults.Entrypoint);
  const { Cmd: _cmd, Entrypoint: _entrypoint, ...rest } = { ...defaults, ...own };
  const both = <T>(mine: T | null | undefined, other: T | null | undefined): T | undefined => {
    const all = { ...other, ...mine } as T & object;
    return Object.keys(all).length === 0 ? undefined : all;
  };
  const [ports, volumes] = [both(own.ExposedPorts, defaults.ExposedPorts), both(own.Volumes, defaults.Volumes)];
  const labels = both(own.Labels, defaults.Labels);
  const health = healthcheckOf(own.Healthcheck, defaults.Healthcheck);
  return {
    ...rest,
    Env: [...(own.Env ?? []), ...(defaults.Env ?? []).filter(variable => !known.has(nameOfVariable(variable)))],
    ...(entrypoint === undefined ? {} : { Entrypoint: entrypoint }),
    ...(cmd === undefined ? {} : { Cmd: cmd }),
    ...(ports === undefined ? {} : { ExposedPorts: ports }),
    ...(volumes === undefined ? {} : { Volumes: volumes }),
    ...(labels === undefined ? {} : { Labels: labels }),
    ...(health === undefined ? {} : { Healthcheck: health }),
  };
}

function healthcheckOf(
  own: ImageHealthcheck | null | undefined,
  defaults: ImageHealthcheck | null | undefined,
): ImageHealthcheck | undefined {
  const set = Object.entries(own ?? {}).filter(
    ([, value]) => value !== undefined && value !== 0 && !(Array.isArray(value) && value.length === 0),
  );
  const merged = { ...defaults, ...Object.fromEntries(set) };
  return Object.keys(merged).length === 0 ? undefined : merged;
}
