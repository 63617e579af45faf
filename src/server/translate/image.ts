import { invalidArgument, permissionDenied } from '#base/errors.ts';
import { parseAuthHeader } from '#api/requests/auth.ts';
import type { AuthConfig } from '#api/types/auth.ts';
import type { ContainerConfig } from '#api/types/container.ts';
import type { Descriptor as WireDescriptor } from '#api/types/common.ts';
import type { ManifestSummary } from '#engine/images/platforms.ts';
import type { Descriptor } from '#oci/manifest.ts';
import type {
  ImageDeleteItem,
  ImageHistoryItem,
  ImageInspect,
  ImageManifest,
  ImageSearchItem,
  ImageSummary as WireSummary,
} from '#api/types/image.ts';
import type { FoundRepository, RegistryAuth } from '#core/registry.ts';
import type { AttestationStatement } from '#engine/images/attestations.ts';
import type { HistoryEntry, ImageDetails } from '#engine/images/inspect.ts';
import type { ImageSummary } from '#engine/images/list.ts';
import type { RemovedItem } from '#engine/images/delete-image.ts';
import type { ImageExecConfig } from '#oci/image-config.ts';
import { normalizePlatform } from '#oci/platform.ts';
import type { Platform } from '#oci/platform.ts';
import { familiarName, parseReference, withDefaultTag, withDigest, withTag } from '#oci/reference.ts';
import type { Reference } from '#oci/reference.ts';
import { tryParseDigest } from '#oci/digest.ts';

const seconds = (date: Date): number => Math.floor(date.getTime() / 1000);

export const toWireImageSummary = (image: ImageSummary): WireSummary => ({
  Id: image.id,
  ParentId: image.parentId,
  RepoTags: [...image.repoTags],
  RepoDigests: [...image.repoDigests],
  Created: seconds(image.created),
  Size: image.sizeBytes,
  SharedSize: image.sharedSizeBytes ?? -1,
  Labels: image.labels === null ? null : { ...image.labels },
  Containers: image.containers,
  ...(image.target === undefined ? {} : { Descriptor: toWireDescriptor(image.target) }),
  ...(image.manifests === undefined ? {} : { Manifests: image.manifests.map(toWireManifest) }),
});

const toWireDescriptor = ({ mediaType, digest, size, platform, annotations }: Descriptor): WireDescriptor => ({
  mediaType,
  digest,
  size,
  ...(annotations === undefined ? {} : { annotations: { ...annotations } }),
  ...(platform === undefined ? {} : { platform: { ...platform } }),
});

/** One entry of an image's index (API 1.47, ImageManifestSummary). */
function toWireManifest({ descriptor, kind, about, image, isAvailable, contentBytes }: ManifestSummary): ImageManifest {
  const unpacked = image?.record.sizeBytes ?? 0;
  return {
    ID: descriptor.digest,
    Descriptor: toWireDescriptor(descriptor),
    Available: isAvailable,
    Size: { Content: contentBytes, Total: contentBytes + unpacked },
    Kind: kind,
    ...(kind === 'image' && {
      ImageData: {
        Platform: { ...(image?.platform ?? descriptor.platform ?? { os: '', architecture: '' }) },
        Containers: [...(image?.containerIds ?? [])],
        Size: { Unpacked: unpacked },
      },
    }),
    ...(kind === 'attestation' && { AttestationData: { For: about ?? '' } }),
  };
}

export function toWireImageInspect(image: ImageDetails): ImageInspect {
  const { config } = image;
  return {
    Id: image.id,
    ...(image.target === undefined ? {} : { Descriptor: toWireDescriptor(image.target) }),
    ...(image.manifests === undefined ? {} : { Manifests: image.manifests.map(toWireManifest) }),
    RepoTags: [...image.repoTags],
    RepoDigests: [...image.repoDigests],
    Parent: image.parentId,
    Comment: config.comment ?? '',
    ...(config.created === undefined ? {} : { Created: config.created }),
    DockerVersion: config.docker_version ?? '',
    Author: config.author ?? '',
    Config: toWireExecConfig(config.config ?? {}),
    Architecture: config.architecture,
    ...(config.variant === undefined ? {} : { Variant: config.variant }),
    Os: config.os,
    ...(config['os.version'] === undefined ? {} : { OsVersion: config['os.version'] }),
    Size: image.sizeBytes,
    GraphDriver: { Name: image.driver, Data: toWireLayerDirs(image.layerDirs) },
    RootFS: { Type: 'layers', Layers: [...config.rootfs.diff_ids] },
    Metadata: { LastTagTime: image.lastTaggedAt ?? '0001-01-01T00:00:00Z' },
  };
}

/** The uppermost layer as the one on top; below it the rest, uppermost first. An image without layers has no directories. */
function toWireLayerDirs([top, ...below]: readonly string[]): Record<string, string> | null {
  if (top === undefined) return null;
  return { ...(below.length === 0 ? {} : { LowerDir: below.join(':') }), UpperDir: top };
}

function toWireExecConfig(config: ImageExecConfig): ContainerConfig {
  const { Test, ...health } = config.Healthcheck ?? {};
  const list = (values: readonly string[] | null | undefined): string[] | null => (values ? [...values] : null);
  return {
    Hostname: config.Hostname ?? '',
    Domainname: config.Domainname ?? '',
    User: config.User ?? '',
    AttachStdin: false,
    AttachStdout: false,
    AttachStderr: false,
    ...(config.ExposedPorts ? { ExposedPorts: { ...config.ExposedPorts } } : {}),
    Tty: false,
    OpenStdin: false,
    StdinOnce: false,
    Env: list(config.Env),
    Cmd: list(config.Cmd),
    ...(config.Healthcheck ? { Healthcheck: { ...health, ...(Test === undefined ? {} : { Test: [...Test] }) } } : {}),
    ...(config.ArgsEscaped === true ? { ArgsEscaped: true } : {}),
    Image: '',
    Volumes: config.Volumes ? { ...config.Volumes } : null,
    WorkingDir: config.WorkingDir ?? '',
    Entrypoint: list(config.Entrypoint),
    OnBuild: list(config.OnBuild),
    Labels: config.Labels ? { ...config.Labels } : null,
    ...(config.StopSignal === undefined || config.StopSignal === '' ? {} : { StopSignal: config.StopSignal }),
    ...(config.StopTimeout === undefined ? {} : { StopTimeout: config.StopTimeout }),
    ...(config.Shell ? { Shell: [...config.Shell] } : {}),
  };
}

export const toWireHistory = (entry: HistoryEntry): ImageHistoryItem => ({
  Id: entry.id,
  Created: seconds(entry.created),
  CreatedBy: entry.createdBy,
  Tags: entry.tags === null ? null : [...entry.tags],
  Size: entry.sizeBytes,
  Comment: entry.comment,
});

/** Statements stand in the answer as they were published: read and written anew, their numbers would not always be the same. */
export function formatAttestations(found: readonly AttestationStatement[]): string {
  const items = found.map(({ descriptor, predicateType, statement }) => {
    const known = JSON.stringify({ Descriptor: toWireDescriptor(descriptor), PredicateType: predicateType });
    return statement === undefined ? known : `${known.slice(0, -1)},"Statement":${statement.trim()}}`;
  });
  return `[${items.join(',')}]\n`;
}

export const toWireRemoved = (item: RemovedItem): ImageDeleteItem =>
  'untagged' in item ? { Untagged: item.untagged } : { Deleted: item.deleted };

export const toWireFound = ({ name, description, stars, isOfficial, isAutomated }: FoundRepository): ImageSearchItem => ({
  name,
  description,
  star_count: stars,
  is_official: isOfficial,
  is_automated: isAutomated,
});

/** The credentials of a request's header, if it has any that can be read. */
export function registryAuthOf(header: string | undefined): RegistryAuth | undefined {
  const config = parseAuthHeader(header);
  return config === undefined ? undefined : fromAuthConfig(config);
}

export function fromAuthConfig(config: AuthConfig): RegistryAuth {
  const [username, password] = decodeBasic(config.auth);
  return {
    ...present('username', config.username || username),
    ...present('password', config.password || password),
    ...present('serverAddress', config.serveraddress),
    ...present('identityToken', config.identitytoken),
    ...present('registryToken', config.registrytoken),
  };
}

const present = <K extends keyof RegistryAuth>(key: K, value: string | undefined): RegistryAuth =>
  value === undefined || value === '' ? {} : { [key]: value };

/** base64 of `username:password`. */
function decodeBasic(auth: string | undefined): [username?: string, password?: string] {
  if (auth === undefined || auth === '') return [];
  const text = Buffer.from(auth, 'base64').toString('utf8');
  const colon = text.indexOf(':');
  return colon === -1 ? [] : [text.slice(0, colon), text.slice(colon + 1)];
}

/** A platform as push, save, load and inspect take it: a JSON object. */
export function parsePlatformJson(text: string | undefined): Platform | undefined {
  if (text === undefined) return undefined;
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (err) {
    throw invalidArgument(`failed to parse platform ${JSON.stringify(text)}: expected JSON such as {"os":"linux","architecture":"arm64"}`, {
      cause: err,
    });
  }
  const { os, architecture, variant } = (parsed ?? {}) as Readonly<Record<string, unknown>>;
  if (!isText(os) || !isText(architecture) || (variant !== undefined && typeof variant !== 'string')) {
    throw invalidArgument(`invalid platform ${JSON.stringify(text)}: both OS and Architecture must be provided, as texts`);
  }
  return normalizePlatform({ os, architecture, ...(variant === undefined ? {} : { variant }) });
}

const isText = (value: unknown): value is string => typeof value === 'string' && value !== '';

/** What `fromImage` and `tag` name together. Without any tag, or with a colon at the end of the name, all tags are meant. */
export function pullReference(name: string, tag: string): { readonly reference: Reference; readonly allTags: boolean } {
  const named = parseReference(name.replace(/:$/, ''));
  if (familiarName(named) === 'scratch') throw permissionDenied("'scratch' is a reserved name");
  const reference = tag === '' ? named : qualify(named, tag);
  return { reference, allTags: reference.tag === undefined && reference.digest === undefined };
}

/** The name for an imported image; an empty `repo` means none. */
export function importReference(repo: string, tag: string): Reference | undefined {
  if (repo === '') return undefined;
  const named = parseReference(repo);
  return tag === '' ? withDefaultTag(named) : withTag(named, tag);
}

/** What a push's name and tag name together; without a tag, all tags of the repository. */
export function pushReference(name: string, tag: string): Reference {
  const named = parseReference(name);
  if (named.digest !== undefined) throw invalidArgument('cannot push a digest reference');
  return tag === '' ? named : qualify(named, tag);
}

function qualify(named: Reference, tag: string): Reference {
  const digest = tryParseDigest(tag);
  return digest === undefined ? withTag(named, tag) : withDigest(named, digest);
}
