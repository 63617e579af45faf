import { existsSync, mkdirSync, readdirSync } from 'node:fs';
import { failedPrecondition, invalidArgument, isErrno, kindOf } from '#base/errors.ts';
import type { ViewMount } from '#core/files.ts';
import { type Context, publishAs } from './context.ts';
import { acquireImage, mountImage, releaseImages, unmountImages } from './image-mounts.ts';
import type { Container, MountPoint } from './model.ts';
import type { PlannedMount } from './plan-mounts.ts';

/** Checks what can be checked about planned mounts before anything is made. Rejects with InvalidArgument. */
export function checkSources(plan: readonly PlannedMount[]): void {
  for (const mount of plan) {
    if (mount.type === 'bind' && mount.mustExist && !existsSync(mount.source)) {
      throw invalidArgument(`invalid mount config for type "bind": bind source path does not exist: ${mount.source}`);
    }
  }
}

/** Finds or makes the volumes of a new container. What was acquired is released by the caller when the create fails. */
export async function acquireMount(ctx: Context, container: Pick<Container, 'id' | 'hostConfig'>, plan: PlannedMount): Promise<MountPoint> {
  const common = {
    type: plan.type,
    destination: plan.destination,
    mode: plan.mode,
    readWrite: plan.readWrite,
    propagation: plan.type === 'bind' && plan.propagation === '' ? 'rprivate' : plan.propagation,
    recursiveReadOnly: plan.recursiveReadOnly,
    nonRecursive: plan.nonRecursive,
    subpath: plan.subpath,
  };
  if (plan.type === 'image') {
    const name = await acquireImage(ctx, container, plan.source, plan.destination);
    return { ...common, name, source: plan.source, driver: '', anonymous: false };
  }
  if (plan.type !== 'volume') return { ...common, name: '', source: plan.source, driver: '', anonymous: false };
  const volume = await ctx.volumes.acquire({
    name: plan.volumeName,
    driver: plan.driver,
    driverOptions: plan.driverOptions,
    labels: plan.labels,
    containerId: container.id,
  });
  return { ...common, name: volume.name, source: volume.path, driver: volume.driver, anonymous: plan.volumeName === undefined };
}

/** Gives empty volumes what the image has at their place. The root is mounted only when there is one to fill. */
export async function fillVolumes(
  ctx: Context,
  containerId: string,
  mounts: readonly (readonly [PlannedMount, MountPoint])[],
  signal: AbortSignal,
) {
  const candidates = mounts.filter(([plan]) => plan.type === 'volume' && plan.copiesImage);
  if (candidates.length === 0) return;
  const root = await ctx.snapshots.mount(containerId);
  try {
    for (const [, mount] of candidates) {
      const kind = ctx.files.kindOf(root, mount.destination);
      if (kind === 'other') throw invalidArgument(`cannot mount volume over existing file, file exists ${mount.destination}`);
      if (kind === 'missing') continue;
      const path = await ctx.volumes.mount(mount.name, containerId);
      try {
        if (isEmpty(path)) await ctx.files.copyInto(root, mount.destination, path, signal);
      } finally {
        await ctx.volumes.unmount(mount.name, containerId);
      }
    }
  } finally {
    await ctx.snapshots.unmount(containerId);
  }
}

const isEmpty = (path: string): boolean => readdirSync(path).length === 0;

/** Makes every mount's host side usable and says where it is, by destination. What `pins` holds is needed until the container is made. Parents come before what is mounted inside them. */
export async function mountSources(ctx: Context, container: Container, pins: DisposableStack): Promise<Map<string, string>> {
  const sources = new Map<string, string>();
  const pinned = (what: string, path: string, { subpath }: MountPoint): string => subpathOf(ctx, what, path, subpath, pins);
  for (const mount of container.mounts) {
    if (mount.type === 'bind') {
      const source = bindSource(container, mount);
      checkPropagation(ctx, mount);
      // crun 1.8 mounts what is below as well, whatever it is told: it gets a place without.
      sources.set(mount.destination, mount.nonRecursive ? pins.use(ctx.pins.pin('/', source, { alone: true })).path : source);
    }
    if (mount.type === 'volume') {
      sources.set(mount.destination, pinned(`volume ${mount.name}`, await volumeSource(ctx, container, mount), mount));
    }
    if (mount.type === 'image') {
      sources.set(mount.destination, pinned(`image ${mount.source}`, await mountImage(ctx, container.id, mount), mount));
    }
  }
  return sources;
}

/**
 * What a container that does not run would have mounted, for who works on its files: nothing is made for it, nobody is told of it, and what a run would
 * have to itself (temporary file systems) is left out. Call it with the container's lock held; `done` unmounts again.
 */
export async function viewMounts(ctx: Context, container: Container): Promise<{ readonly mounts: ViewMount[]; done(): Promise<void> }> {
  const mounts: ViewMount[] = [];
  const pins = new DisposableStack();
  const add = (mount: MountPoint, source: string): void => {
    mounts.push({ source, destination: mount.destination, readOnly: !mount.readWrite });
  };
  for (const mount of container.mounts) {
    if (mount.type === 'bind') add(mount, mount.source);
    if (mount.type === 'volume') {
      const path = await ctx.volumes.mount(mount.name, container.id);
      add(mount, subpathOf(ctx, `volume ${mount.name}`, path, mount.subpath, pins));
    }
    if (mount.type === 'image') {
      add(mount, subpathOf(ctx, `image ${mount.source}`, await mountImage(ctx, container.id, mount), mount.subpath, pins));
    }
  }
  return {
    mounts: mounts.toSorted((a, b) => depthOf(a.destination) - depthOf(b.destination)),
    async done() {
      pins.dispose();
      await unmountImages(ctx, container);
      for (const mount of container.mounts) if (mount.type === 'volume') await ctx.volumes.unmount(mount.name, container.id);
    },
  };
}

const depthOf = (path: string): number => path.split('/').length;

function bindSource(container: Container, mount: MountPoint): string {
  if (existsSync(mount.source)) return mount.source;
  const asked = container.hostConfig.mounts.find(request => request.type === 'bind' && request.target === mount.destination);
  if (asked !== undefined && asked.bindOptions?.createMountpoint !== true) {
    throw invalidArgument(`invalid mount config for type "bind": bind source path does not exist: ${mount.source}`);
  }
  try {
    mkdirSync(mount.source, { recursive: true, mode: 0o755 });
  } catch (err) {
    if (!isErrno(err, 'EEXIST', 'ENOTDIR', 'EROFS', 'EACCES', 'ENOSPC')) throw err;
    throw invalidArgument(`error while creating mount source path '${mount.source}': ${String(err)}`, { cause: err });
  }
  return mount.source;
}

/** What is private on the host can be passed on to nobody. */
function checkPropagation(ctx: Context, { source, propagation }: MountPoint): void {
  const needsShared = /shared$/.test(propagation);
  if (!needsShared && !/slave$/.test(propagation)) return;
  const mount = ctx.host.mountAt(source);
  if (mount === undefined || mount.isShared || (!needsShared && mount.isSlave)) return;
  const kinds = needsShared ? 'a shared' : 'a shared or slave';
  throw failedPrecondition(`path ${source} is mounted on ${mount.target} but it is not ${kinds} mount`);
}

async function volumeSource(ctx: Context, container: Container, mount: MountPoint): Promise<string> {
  const path = await ctx.volumes.mount(mount.name, container.id);
  publishAs(ctx, 'volume', mount.name, 'mount', {
    container: container.id,
    destination: mount.destination,
    driver: mount.driver,
    propagation: mount.propagation,
    'read/write': String(mount.readWrite),
  });
  return path;
}

function subpathOf(ctx: Context, what: string, path: string, subpath: string, pins: DisposableStack): string {
  if (subpath === '') return path;
  try {
    return pins.use(ctx.pins.pin(path, subpath)).path;
  } catch (err) {
    throw kindOf(err) === 'NotFound' ? invalidArgument(`${what} has no subpath "${subpath}": make it first`, { cause: err }) : err;
  }
}

/** The opposite of `mountSources`; what is not mounted is fine. */
export async function unmountSources(ctx: Context, container: Container): Promise<void> {
  await unmountImages(ctx, container);
  for (const mount of container.mounts.toReversed()) {
    if (mount.type !== 'volume') continue;
    const was = await ctx.volumes.unmount(mount.name, container.id);
    if (was) publishAs(ctx, 'volume', mount.name, 'unmount', { container: container.id, driver: mount.driver });
  }
}

/** Lets go of a container's volumes; its anonymous ones go with it when asked. */
export async function releaseVolumes(
  ctx: Context,
  container: Pick<Container, 'id' | 'mounts'>,
  options: { readonly removeAnonymous: boolean },
): Promise<void> {
  await releaseImages(ctx, container);
  for (const mount of container.mounts) {
    if (mount.type !== 'volume') continue;
    ctx.volumes.release(mount.name, container.id);
    if (options.removeAnonymous && mount.anonymous) await ctx.volumes.removeIfUnused(mount.name);
  }
}
