import { notFound } from '#base/errors.ts';
import type { RegistryAuth, RegistryRepository } from '#core/registry.ts';
import type { Platform } from '#oci/platform.ts';
import { familiarName, familiarString, type Reference, repositoryOf, withDigest } from '#oci/reference.ts';
import type { RegistryContext } from './context.ts';
import { publishImageEvent } from './image-events.ts';
import type { ImageRecord, Report } from './model.ts';
import { selectPlatform, targetOf } from './platforms.ts';
import { type Pushed, pushImage } from './push-image.ts';
import { planIndex, pushIndex } from './push-index.ts';

export interface PushOptions {
  /** Without a tag: every tag of the repository. */
  readonly reference: Reference;
  readonly auth: RegistryAuth | undefined;
  readonly headers?: Readonly<Record<string, string>>;
  /** Only this one of an image for several; undefined: all of it, or the one platform that is here. */
  readonly platform?: Platform | undefined;
}

/** Sends images to a registry. Rejects with NotFound when the name is not known here. */
export async function pushImages(context: RegistryContext, options: PushOptions, report: Report, signal: AbortSignal): Promise<void> {
  const { reference, auth, headers } = options;
  const tagged = namedBy(context, reference);
  if (tagged.length === 0) {
    const isKnown = namedBy(context, { domain: reference.domain, path: reference.path }).length > 0;
    throw notFound(
      isKnown
        ? `tag does not exist: ${familiarString(reference)}`
        : `An image does not exist locally with the tag: ${familiarName(reference)}`,
    );
  }
  report({ status: `The push refers to repository [${repositoryOf(reference)}]` });
  const repository = context.registry.repository(reference, { actions: 'push', auth, headers });
  for (const { ref } of tagged) await pushTag(context, repository, ref, options.platform, report, signal);
}

function namedBy(context: RegistryContext, reference: Reference): { readonly ref: Reference; readonly image: ImageRecord }[] {
  const wanted = repositoryOf(reference);
  return context.store.allReferences().flatMap(({ ref, image: id }) => {
    const image = context.store.get(id);
    const isMeant = repositoryOf(ref) === wanted && ref.tag !== undefined && (reference.tag === undefined || ref.tag === reference.tag);
    return isMeant && image !== undefined ? [{ ref, image }] : [];
  });
}

/** Sends what a tag stands for: one image, or an index with its images. */
async function pushTag(
  context: RegistryContext,
  repository: RegistryRepository,
  ref: Reference,
  platform: Platform | undefined,
  report: Report,
  signal: AbortSignal,
): Promise<void> {
  const tag = ref.tag ?? 'latest';
  const image = await selectPlatform(context, familiarString(ref), platform);
  const index = platform === undefined ? context.store.indexOf(ref) : undefined;
  const plan = index && (await planIndex(context, repository, index, signal));
  let pushed: Pushed;
  if (index === undefined || plan === undefined) {
    const manifest = await pushImage(context, repository, ref, image, report, signal);
    await repository.putManifest(tag, manifest.descriptor.mediaType, manifest.bytes, signal);
    pushed = manifest;
    if (index !== undefined) {
      const originalIndex = await targetOf(context, image, index);
      if (originalIndex !== undefined) report({ insteadOfIndex: { originalIndex, selectedManifest: manifest.descriptor } });
    }
  } else {
    pushed = await pushIndex(context, repository, ref, index, plan, report, signal);
  }
  const { digest, size: sizeBytes } = pushed.descriptor;
  const now = context.store.get(image.id);
  // What was pushed by its platform alone has no index there.
  const isSame = index !== undefined && digest === index.digest;
  if (now !== undefined) context.store.put(now, [withDigest(ref, digest)], isSame ? index : undefined);
  report({ status: `${tag}: digest: ${digest} size: ${sizeBytes}` });
  report({ pushed: { tag, digest, sizeBytes } });
  await publishImageEvent(context, 'push', image.id, { actorId: familiarString(ref), name: familiarName(ref) });
}
