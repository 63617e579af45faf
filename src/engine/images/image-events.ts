import type { ImageContext } from './context.ts';
import type { Digest } from '#oci/digest.ts';

export type ImageAction = 'delete' | 'import' | 'load' | 'pull' | 'push' | 'save' | 'tag' | 'untag';

/** Tells what happened to an image. `actorId` is its id or, for pull and push, the reference; `name` what people called it. */
export async function publishImageEvent(
  context: ImageContext,
  action: ImageAction,
  image: Digest,
  options: { readonly actorId?: string; readonly name?: string } = {},
): Promise<void> {
  const labels = await context.store.config(image).then(
    config => config.config?.Labels ?? {},
    () => ({}),
  );
  const attributes = { ...labels, name: options.name ?? image };
  context.events.publish({ type: 'image', action, actorId: options.actorId ?? image, attributes });
}
