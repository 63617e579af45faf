import { stat } from 'node:fs/promises';
import { basename } from 'node:path';
import { invalidArgument, kindOf } from '#base/errors.ts';
import type { WirePlatform } from '#api/buildkit/messages.ts';
import { type Digest, sha256, tryParseDigest } from '#oci/digest.ts';
import { parseManifest, selectManifest } from '#oci/manifest.ts';
import { hostPlatform, normalizePlatform, type Platform } from '#oci/platform.ts';
import { canonicalString, parseReference, type Reference, withDefaultTag } from '#oci/reference.ts';
import { authOf } from './client-services.ts';
import { ClientContent } from './client-content.ts';
import type { FrontendContext } from './frontend-context.ts';
import type { Job } from './job.ts';

/** What an image is, as far as it is known without its layers. */
export interface ResolvedImage {
  readonly digest: string;
  readonly config: Uint8Array;
}

export interface ImageQuestion {
  /** An image's name, or `store@digest` for one in an OCI layout of the client. */
  readonly name: string;
  readonly platform: WirePlatform | null;
  /** `pull`: as the registry has it now; else an image that is here will do. */
  readonly mode: string;
  /** Where an OCI layout is. */
  readonly layout: { readonly sessionId: string; readonly store: string } | undefined;
}

/** Where manifests and blobs of an image are read. */
interface ImagePlace {
  manifest(reference: string): Promise<Uint8Array>;
  config(digest: Digest, sizeBytes: number): Promise<Uint8Array>;
}

/** Looks an image up: here, in its registry, or in an OCI layout of the client. Rejects with NotFound, and with what registries answer. */
export async function resolveImage(context: FrontendContext, job: Job, question: ImageQuestion): Promise<ResolvedImage> {
  const platform = platformOf(question.platform);
  if (question.layout !== undefined) return await resolveLayout(context, job, question.name, question.layout, platform);
  const reference = withDefaultTag(parseReference(question.name));
  if (question.mode !== 'pull') {
    const here = await findHere(context, reference, platform);
    if (here !== undefined) return here;
  }
  const session = await context.sessions.get(job.sessionId, job.signal).catch(() => undefined);
  const auth = session && (await authOf(session, reference.domain, job.signal));
  await using workspace = context.services.builds.workspace();
  const repository = workspace.registry(reference, { actions: 'pull', auth });
  return await readImage(reference.digest ?? reference.tag ?? 'latest', platform, {
    manifest: async wanted => (await repository.manifest(wanted, job.signal)).bytes,
    config: async (digest, size) => Buffer.concat(await Array.fromAsync(repository.blob({ digest, size }, job.signal))),
  });
}

const platformOf = (given: WirePlatform | null): Platform =>
  given === null || given.OS === ''
    ? hostPlatform()
    : normalizePlatform({ os: given.OS, architecture: given.Architecture, variant: given.Variant });

async function findHere({ services }: FrontendContext, reference: Reference, platform: Platform): Promise<ResolvedImage | undefined> {
  try {
    const { id, config, repoDigests } = await services.images.inspect(canonicalString(reference), { platform });
    const published = repoDigests.map(text => text.slice(text.indexOf('@') + 1)).find(digest => tryParseDigest(digest) !== undefined);
    return { digest: published ?? id, config: new TextEncoder().encode(JSON.stringify(config)) };
  } catch (err) {
    if (kindOf(err) === 'NotFound') return undefined;
    throw err;
  }
}

async function resolveLayout(
  { sessions }: FrontendContext,
  job: Job,
  name: string,
  { sessionId, store }: NonNullable<ImageQuestion['layout']>,
  platform: Platform,
): Promise<ResolvedImage> {
  const [own = '', digest = ''] = name.replace(/^oci-layout:\/\//, '').split('@', 2);
  if (tryParseDigest(digest) === undefined) throw invalidArgument(`invalid OCI layout ${JSON.stringify(name)}: expected store@digest`);
  const session = await sessions.get(sessionId === '' ? job.sessionId : sessionId, job.signal);
  const content = new ClientContent(session, `oci:${store === '' ? own : store}`);
  return await readImage(digest, platform, {
    manifest: wanted => content.readAll(wanted, job.signal),
    config: wanted => content.readAll(wanted, job.signal),
  });
}

async function readImage(reference: string, platform: Platform, place: ImagePlace): Promise<ResolvedImage> {
  const bytes = await place.manifest(reference);
  const digest = sha256(bytes);
  let manifest = parseManifest(bytes);
  if (manifest.kind === 'index') {
    const entry = selectManifest(manifest, platform);
    if (entry === undefined) throw invalidArgument(`no match for platform ${platform.os}/${platform.architecture} in ${reference}`);
    manifest = parseManifest(await place.manifest(entry.digest));
  }
  if (manifest.kind === 'index') throw invalidArgument(`${reference} is an index of indexes`);
  return { digest, config: await place.config(manifest.config.digest, manifest.config.size) };
}

export interface ResolvedHttp {
  readonly checksum: string;
  readonly filename: string;
  readonly modifiedMs: number;
}

/** What is behind a URL now. */
export async function resolveHttp({ services }: FrontendContext, job: Job, url: string): Promise<ResolvedHttp> {
  await using place = await services.builds.contextDirectory();
  const { path } = await services.builds.remotes.download(url, place.path, {}, job.signal);
  const hasher = new Bun.CryptoHasher('sha256');
  for await (const chunk of Bun.file(path).stream()) hasher.update(chunk);
  return { checksum: `sha256:${hasher.digest('hex')}`, filename: basename(path), modifiedMs: (await stat(path)).mtimeMs };
}

/** The commit that a Git source means now. */
export async function resolveGit(
  { services }: FrontendContext,
  job: Job,
  identifier: string,
  attributes: Readonly<Record<string, string>>,
): Promise<{ readonly commit: string; readonly ref: string }> {
  const [remote = '', fragment = ''] = identifier.replace(/^git:\/\//, '').split('#', 2);
  const [ref = ''] = fragment.split(':', 1);
  const url = attributes['git.fullurl'] || `https://${remote}`;
  await using place = await services.builds.contextDirectory();
  const source = { url, ref, subdirectory: '', keepGitDirectory: false, submodules: false };
  const { commit } = await services.builds.remotes.checkout(source, place.path, job.signal);
  return { commit, ref };
}
