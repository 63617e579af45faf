import type { ImageContext } from './context.ts';
import type { Digest } from '#oci/digest.ts';

export type ImageAction = 'create' | 'delete' | 'import' | 'load' | 'pull' | 'push' | 'save' | 'tag' | 'untag';

const movesBlobs: ReadonlySet<ImageAction> = new Set(['load', 'pull', 'push', 'save']);

export type Labels = Readonly<Record<string, string>>;

/** Tells what happened to an image. `actorId` is its id or, for pull and push, the reference; `name` what people called it. */
export async function publishImageEvent(
  context: ImageContext,
  action: ImageAction,
  image: Digest,
  options: { readonly actorId?: string; readonly name?: string } = {},
): Promise<void> {
  context.uses.note(image, movesBlobs.has(action) ? 'moved' : 'used');
  publishLabelled(context, action, image, await labelsOf(context, image), options);
}

/** The same for who has read the labels before, and must not wait. */
export function publishLabelled(
  context: ImageContext,
  action: ImageAction,
  image: Digest,
  labels: Labels,
  options: { readonly actorId?: string; readonly name?: string } = {},
): void {
  const attributes = { ...labels, name: options.name ?? image };
  context.events.publish({ type: 'image', action, actorId: options.actorId ?? image, attributes });
}

/** None when the config cannot be read. */
export async function labelsOf(context: ImageContext, image: Digest): Promise<Labels> {
  return await context.store.config(image).then(
    config => config.config?.Labels ?? {},
    () => ({}),
  );
}
