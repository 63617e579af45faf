import { hostname } from 'node:os';
import { shortId } from '#base/id.ts';
import type { LogSubject } from '#core/logs.ts';

/** Executes a Go template on what it may use: fields and methods without arguments by name. Throws when it cannot. */
export type RenderTemplate = (template: string, fields: Readonly<Record<string, unknown>>) => string;

export const defaultTag = '{{.ID}}';

/** The tag that a `tag` option makes, such as `{{.ImageName}}/{{.Name}}`; `otherwise` when there is no option. */
export function renderTag(subject: LogSubject, otherwise: string, render: RenderTemplate): string {
  const template = subject.logConfig.config.tag ?? '';
  const wanted = template === '' ? otherwise : template;
  return wanted.includes('{{') ? render(wanted, tagFields(subject)) : wanted;
}

/** Everything that a tag template may name, as Docker's logger does. */
export function tagFields(subject: LogSubject): Record<string, unknown> {
  const { id, name, created, imageId, imageName, entrypoint, args, env, labels, logConfig } = subject;
  return {
    ID: shortId(id),
    FullID: id,
    Name: name,
    ImageID: shortId(imageId.replace(/^sha256:/, '')),
    ImageFullID: imageId,
    ImageName: imageName,
    Command: commandOf(subject),
    Hostname: hostname(),
    Config: logConfig.config,
    ContainerID: id,
    ContainerName: `/${name}`,
    ContainerEntrypoint: entrypoint,
    ContainerArgs: args,
    ContainerImageID: imageId,
    ContainerImageName: imageName,
    ContainerCreated: created,
    ContainerEnv: env,
    ContainerLabels: labels,
    LogPath: '',
    DaemonName: 'docker',
  };
}

export const commandOf = ({ entrypoint, args }: LogSubject): string => [entrypoint, ...args].join(' ');
