import type { RegistryClient } from '#core/registry.ts';
import type { ImageService } from '#engine/images/service.ts';
import { hostPlatform, parsePlatform } from '#oci/platform.ts';
import { parseReference, withDefaultTag, withTag } from '#oci/reference.ts';
import type { ImageTransfers } from '#server/ports.ts';

/** Images on their way in and out, as the server asks for them: names become references here. */
export function createImageTransfers(images: ImageService, registry: RegistryClient): ImageTransfers {
  return {
    pull: (request, report, signal) => images.pull(request, report, signal),
    push: (request, report, signal) => images.push(request, report, signal),
    async *save(names, _options, signal) {
      yield* await images.save(names, signal);
    },
    import(source, { repo, tag, message, changes, platform }, report, signal) {
      const name = repo === '' ? undefined : parseReference(repo);
      const reference = name === undefined ? undefined : tag === '' ? withDefaultTag(name) : withTag(name, tag);
      return images.import(
        source,
        { reference, message, changes, platform: platform === undefined ? undefined : parsePlatform(platform, hostPlatform()) },
        report,
        signal,
      );
    },
    async distribution(name, auth, signal) {
      const { descriptor, platforms } = await images.inspectRemote(parseReference(name), auth, signal);
      return {
        descriptor: { mediaType: descriptor.mediaType, digest: descriptor.digest, size: descriptor.sizeBytes },
        platforms,
      };
    },
    login: (auth, signal) => registry.login(auth, signal),
  };
}
