import type { Context } from './context.ts';
import type { Container, MountPoint } from './model.ts';
import { idMapOf } from './user-namespace.ts';

/** An image as a mount is a layer of the container's own on top of it: what it stands on stays, also when the image is removed. */
const layerKey = (containerId: string, destination: string): string => `${containerId}:${destination}`;

/** The container that a writable layer belongs to. */
export const ownerOfLayer = (key: string): string => key.split(':', 1)[0] ?? key;

/** Finds the image and makes the layer. Returns the image's id. */
export async function acquireImage(
  ctx: Context,
  container: Pick<Container, 'id' | 'hostConfig'>,
  image: string,
  destination: string,
): Promise<string> {
  const { id, chainId } = await ctx.images.resolve(image, undefined);
  const mapped = idMapOf(ctx.options, container.hostConfig) !== undefined;
  await ctx.snapshots.prepare(layerKey(container.id, destination), chainId, { mapped });
  return id;
}

export async function mountImage(ctx: Context, containerId: string, mount: MountPoint): Promise<string> {
  return await ctx.snapshots.mount(layerKey(containerId, mount.destination));
}

/** Not mounted is fine. */
export async function unmountImages(ctx: Context, { id, mounts }: Pick<Container, 'id' | 'mounts'>): Promise<void> {
  for (const mount of mounts) if (mount.type === 'image') await ctx.snapshots.unmount(layerKey(id, mount.destination));
}

/** Removes the layers; gone already is fine. */
export async function releaseImages(ctx: Context, { id, mounts }: Pick<Container, 'id' | 'mounts'>): Promise<void> {
  for (const mount of mounts) if (mount.type === 'image') await ctx.snapshots.remove(layerKey(id, mount.destination));
}
