import { failpoint } from '#base/failpoint.ts';
import { familiarName, familiarString, parseReference, type Reference, withDefaultTag, withTag } from '#oci/reference.ts';
import { invalidArgument } from '#base/errors.ts';
import type { ImageContext } from './context.ts';
import { settleIndexes } from './settle-indexes.ts';
import { publishImageEvent } from './image-events.ts';

/** The name that `repo` and `tag` of a request make. Rejects with InvalidArgument. */
export function parseTarget(repo: string, tag: string): Reference {
  const ref = parseReference(repo);
  if (ref.digest !== undefined) throw invalidArgument('refusing to create a tag with a digest reference');
  if (familiarName(ref) === 'sha256') throw invalidArgument('refusing to create an ambiguous tag using digest algorithm as name');
  return tag === '' ? withDefaultTag(ref) : withTag(ref, tag);
}

/** Gives an image one more name; the name may have belonged to another image. Rejects with NotFound, InvalidArgument. */
export async function tagImage(context: ImageContext, source: string, repo: string, tag: string): Promise<void> {
  const image = context.store.find(source);
  const name = parseTarget(repo, tag);
  context.store.put({ ...image, lastTaggedAt: new Date().toISOString() }, [name], context.store.indexFor(source));
  failpoint('image.tag.recorded');
  await settleIndexes(context);
  await publishImageEvent(context, 'tag', image.id, { name: familiarString(name) });
}
