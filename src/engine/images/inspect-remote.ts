import type { RegistryAuth } from '#core/registry.ts';
import type { Digest } from '#oci/digest.ts';
import { sha256 } from '#oci/digest.ts';
import { parseManifest } from '#oci/manifest.ts';
import { type Reference, withDefaultTag } from '#oci/reference.ts';
import type { RegistryContext } from './context.ts';
import { parseConfig } from './image-store.ts';
import { explained } from './pull.ts';

export interface RemoteImage {
  readonly descriptor: { readonly mediaType: string; readonly digest: Digest; readonly sizeBytes: number };
  readonly platforms: readonly RemotePlatform[];
}

/** As it was published, not brought to one form. */
export interface RemotePlatform {
  readonly architecture: string;
  readonly os: string;
  readonly 'os.version'?: string;
  readonly 'os.features'?: readonly string[];
  readonly variant?: string;
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
    const { manifests } = JSON.parse(new TextDecoder().decode(remote.bytes)) as {
      readonly manifests: readonly { readonly platform?: unknown }[];
    };
    return { descriptor, platforms: manifests.map(({ platform }) => readPlatform(platform)) };
  }
  const parts: Uint8Array[] = [];
  for await (const chunk of repository.blob(parsed.config, signal)) parts.push(chunk.slice());
  const bytes = Buffer.concat(parts);
  const config = parseConfig(bytes, sha256(bytes));
  return { descriptor, platforms: config.os === '' && config.architecture === '' ? [] : [readPlatform(config)] };
}

function readPlatform(value: unknown): RemotePlatform {
  const { architecture, os, variant, ...rest } = (value ?? {}) as Readonly<Record<string, unknown>>;
  const text = (field: unknown): string => (typeof field === 'string' ? field : '');
  const version = text(rest['os.version']);
  const features = rest['os.features'];
  return {
    architecture: text(architecture),
    os: text(os),
    ...(version !== '' && { 'os.version': version }),
    ...(Array.isArray(features) && features.length > 0 && { 'os.features': features.map(text) }),
    ...(text(variant) !== '' && { variant: text(variant) }),
  };
}
