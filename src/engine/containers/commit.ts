import { conflict } from '#base/errors.ts';
import { expandPorts } from '#core/port-ranges.ts';
import type { ImageExecConfig } from '#oci/image-config.ts';
import { type Context, publish } from './context.ts';
import { writableLayer } from './files.ts';
import type { Container, ContainerConfig } from './model.ts';
import { whilePaused } from './pause.ts';
import type { CommitRequest } from './service.ts';

/** Makes an image of a container: its image's layers and its own, its configuration and what the request changes in it. Returns the image's id. */
export async function commitContainer(ctx: Context, ref: string, request: CommitRequest, signal: AbortSignal): Promise<string> {
  const entry = ctx.containers.find(ref);
  const { id, container } = entry;
  refuseGoing(container);
  const own = toImageConfig(container.config);
  const gone = AbortSignal.any([signal, entry.filesGone.signal]);
  const read = (): AsyncIterable<Uint8Array> => ctx.fileWork.layerTar(writableLayer(ctx, id), gone);
  const image = await ctx.images.commit(
    {
      parentId: container.imageId,
      config: request.config === undefined ? own : toImageConfig(request.config),
      defaults: own,
      changes: request.changes,
      author: request.author,
      comment: request.comment,
      createdBy: (container.config.cmd ?? []).join(' '),
      repo: request.repo,
      tag: request.tag,
    },
    request.pause ? whilePaused(ctx, id, read) : read(),
    gone,
  );
  publish(ctx, container, 'commit', { comment: request.comment, imageID: image.id, imageRef: image.name });
  return image.id;
}

function refuseGoing({ id, state }: Container): void {
  if (state.status === 'removing') throw conflict(`You cannot commit container ${id} which is being removed`);
  if (state.status === 'dead') throw conflict(`You cannot commit container ${id} which is Dead`);
}

/** What of a container's configuration belongs to an image. */
function toImageConfig(config: ContainerConfig): ImageExecConfig {
  const keys = (names: readonly string[]): Record<string, object> | undefined =>
    names.length === 0 ? undefined : Object.fromEntries(names.map(name => [name, {}]));
  const exposed = keys(expandPorts(config.exposedPorts));
  const volumes = keys(config.volumes);
  return {
    ...(config.user === '' ? {} : { User: config.user }),
    ...(exposed === undefined ? {} : { ExposedPorts: exposed }),
    Env: config.env,
    ...(config.entrypoint === undefined ? {} : { Entrypoint: config.entrypoint }),
    ...(config.cmd === undefined ? {} : { Cmd: config.cmd }),
    ...(volumes === undefined ? {} : { Volumes: volumes }),
    ...(config.workingDir === '' ? {} : { WorkingDir: config.workingDir }),
    ...(Object.keys(config.labels).length === 0 ? {} : { Labels: config.labels }),
    ...(config.stopSignal === undefined ? {} : { StopSignal: config.stopSignal }),
    ...(config.stopTimeoutSeconds === undefined ? {} : { StopTimeout: config.stopTimeoutSeconds }),
    ...(config.healthcheck === undefined ? {} : { Healthcheck: config.healthcheck }),
    ...(config.shell === undefined ? {} : { Shell: config.shell }),
    ...(config.onBuild === undefined ? {} : { OnBuild: config.onBuild }),
  };
}
