import type { RegistryAuth } from '#core/registry.ts';
import type { Digest } from '#oci/digest.ts';
import { sha256 } from '#oci/digest.ts';
import { isImageEntry, parseManifest } from '#oci/manifest.ts';
import { normalizePlatform, type Platform } from '#oci/platform.ts';
import { type Reference, withDefaultTag } from '#oci/reference.ts';
import type { RegistryContext } from './context.ts';
import { parseConfig } from './image-store.ts';
import { explained } from './pull.ts';

export interface RemoteImage {
  readonly descriptor: { readonly mediaType: string; readonly digest: Digest; readonly sizeBytes: number };
  readonly platforms: readonly Platform[];
}

/** What a registry has under a name, without pulling it. */
export async function inspectRemote(
  context: RegistryContext,
  reference: Reference,
  auth: RegistryAuth | undefined,
  signal: AbortSignal,
): Promise<RemoteImage> {
  const named = withDefaultTag(reference);
  const repository = context.registry.repository(named, { actions: 'pull', auth });
  const remote = await explained(named, () => repository.manifest(named.digest ?? named.tag ?? 'latest', signal));
  const parsed = parseManifest(remote.bytes, remote.mediaType);
  const descriptor = { mediaType: parsed.mediaType, digest: remote.digest, sizeBytes: remote.bytes.length };
  if (parsed.kind === 'index') {
    const platforms = parsed.manifests.filter(isImageEntry).flatMap(entry => entry.platform ?? []);
    return { descriptor, platforms };
  }
  const parts: Uint8Array[] = [];
  for await (const chunk of repository.blob(parsed.config, signal)) parts.push(chunk.slice());
  const bytes = Buffer.concat(parts);
  return { descriptor, platforms: [normalizePlatform(parseConfig(bytes, sha256(bytes)))] };
}
