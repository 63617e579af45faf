import { kindOf } from '#base/errors.ts';
import { parseManifest } from '#oci/manifest.ts';
import { canonicalString, type Reference } from '#oci/reference.ts';
import { ExitError } from '../../errors.ts';
import type { RemoteContent } from '../../remote/registry-port.ts';
import type { RemoteImages } from '../../remote/remote-images.ts';
import { listedImage, type ListedImage, type LocalLists } from './local-lists.ts';

/** What a registry has under a name. Rejects in Docker's words when it has nothing. */
export async function fetchContent(remote: RemoteImages, name: Reference): Promise<RemoteContent> {
  try {
    return await remote.content(name);
  } catch (err) {
    throw kindOf(err) === 'NotFound' ? new ExitError(1, `no such manifest: ${canonicalString(name)}`, { cause: err }) : err;
  }
}

/** An image of a list: the one that is kept already, else what the registry has. Rejects for what is itself a list. */
export async function imageOfList(lists: LocalLists, remote: RemoteImages, list: Reference, name: Reference): Promise<ListedImage> {
  const kept = lists.image(list, name);
  if (kept !== undefined) return kept;
  const content = await fetchContent(remote, name);
  const manifest = parseManifest(content.bytes, content.mediaType);
  if (manifest.kind === 'index') throw new ExitError(1, `${canonicalString(name)} is a manifest list`);
  return listedImage(name, content, await remote.platform(name, manifest));
}
