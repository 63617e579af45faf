import { dataLoss, invalidArgument } from '#base/errors.ts';
import type { BaseImage, BuildWorkspace, Layer } from '#builder/ports.ts';
import { tryParseDigest } from '#oci/digest.ts';
import type { ImageConfigFile } from '#oci/image-config.ts';
import { parseManifest, selectManifest } from '#oci/manifest.ts';
import type { Platform } from '#oci/platform.ts';
import { ClientContent } from './client-content.ts';
import type { ClientSession } from './client-session.ts';

/** Brings an image from a client's OCI layout here: `<store>[:tag]@<digest>`. Rejects with InvalidArgument, DataLoss. */
export async function loadLayout(
  session: ClientSession,
  reference: string,
  { workspace, platform, signal }: { readonly workspace: BuildWorkspace; readonly platform: Platform; readonly signal: AbortSignal },
): Promise<BaseImage> {
  const [, store = '', digest = ''] = /^([^:@]+)(?::[^@]*)?@(.+)$/.exec(reference) ?? [];
  if (tryParseDigest(digest) === undefined) throw invalidArgument(`invalid OCI layout ${JSON.stringify(reference)}: expected store@digest`);
  const content = new ClientContent(session, `oci:${store}`);
  let manifest = parseManifest(await content.readAll(digest, signal));
  if (manifest.kind === 'index') {
    const entry = selectManifest(manifest, platform);
    if (entry === undefined) throw invalidArgument(`the OCI layout has no image for ${platform.os}/${platform.architecture}`);
    manifest = parseManifest(await content.readAll(entry.digest, signal));
  }
  if (manifest.kind === 'index') throw dataLoss('the OCI layout has an index of indexes');
  const config = JSON.parse(new TextDecoder().decode(await content.readAll(manifest.config.digest, signal))) as ImageConfigFile;
  const layers: Layer[] = [];
  for (const [index, blob] of manifest.layers.entries()) {
    const diffId = tryParseDigest(config.rootfs.diff_ids[index] ?? '');
    if (diffId === undefined) throw dataLoss('the OCI layout is damaged: its image has more layers than its configuration names');
    layers.push(await workspace.unpackBlob(content.read(blob.digest, signal), diffId, layers.at(-1)?.chainId, signal));
  }
  return { id: workspace.idOf(config), config, layers };
}
