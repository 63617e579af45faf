import { invalidArgument } from '#base/errors.ts';
import { compactPorts } from '#core/port-ranges.ts';
import type { ImageExecConfig, ImageHealthcheck } from '#oci/image-config.ts';
import type { ContainerConfig } from './model.ts';

/**
 * What the user asked for on top of what the image says: environment, labels, ports and volumes of both, the user's first; an entrypoint of the user's
 * drops the image's command.
 */
export function mergeConfig(user: ContainerConfig, image: ImageExecConfig): ContainerConfig {
  const clears = user.entrypoint?.length === 1 && user.entrypoint[0] === '';
  const cmd = user.cmd ?? (user.entrypoint === undefined ? nonEmpty(image.Cmd) : undefined);
  const entrypoint = clears ? [] : (user.entrypoint ?? nonEmpty(image.Entrypoint));
  return {
    ...user,
    user: user.user === '' ? (image.User ?? '') : user.user,
    exposedPorts: compactPorts([...new Set([...user.exposedPorts, ...Object.keys(image.ExposedPorts ?? {}).map(withProtocol)])]),
    env: mergeEnv(image.Env ?? [], user.env),
    cmd: cmd === undefined || cmd.length === 0 ? undefined : cmd,
    entrypoint,
    volumes: [...new Set([...user.volumes, ...Object.keys(image.Volumes ?? {})])],
    workingDir: cleanWorkingDir(user.workingDir === '' ? (image.WorkingDir ?? '') : user.workingDir),
    onBuild: user.onBuild ?? nonEmpty(image.OnBuild),
    labels: { ...image.Labels, ...user.labels },
    stopSignal: user.stopSignal ?? (image.StopSignal === '' ? undefined : image.StopSignal),
    stopTimeoutSeconds: user.stopTimeoutSeconds ?? image.StopTimeout,
    shell: user.shell ?? nonEmpty(image.Shell),
    healthcheck: mergeHealthcheck(user.healthcheck, image.Healthcheck ?? undefined),
  };
}

/** The program and its arguments. Rejects with InvalidArgument when there is nothing to run. */
export function commandLine(config: ContainerConfig): [string, ...string[]] {
  const [path, ...args] = [...(config.entrypoint ?? []), ...(config.cmd ?? [])];
  if (path === undefined || path === '') throw invalidArgument('no command specified');
  return [path, ...args];
}

const withProtocol = (port: string): string => (port.includes('/') ? port : `${port}/tcp`);

/** The user's variables first, then those of the image that the user did not set. */
function mergeEnv(image: readonly string[], user: readonly string[]): string[] {
  const set = new Set(user.map(nameOfVariable));
  return [...user, ...image.filter(variable => !set.has(nameOfVariable(variable)))];
}

const nameOfVariable = (variable: string): string => variable.split('=', 1)[0] ?? '';

function mergeHealthcheck(user: ImageHealthcheck | undefined, image: ImageHealthcheck | undefined): ImageHealthcheck | undefined {
  if (user === undefined || image === undefined) return user ?? image;
  const set = Object.entries(user).filter(([, value]) => (Array.isArray(value) ? value.length > 0 : value !== 0 && value !== undefined));
  return { ...image, ...Object.fromEntries(set) };
}

function cleanWorkingDir(path: string): string {
  if (path === '') return '';
  if (!path.startsWith('/')) throw invalidArgument(`the working directory '${path}' is invalid, it needs to be an absolute path`);
  return cleanPath(path);
}

/** `/a//b/../c/` → `/a/c`; never climbs over the root. */
export function cleanPath(path: string): string {
  const parts: string[] = [];
  for (const part of path.split('/')) {
    if (part === '..') parts.pop();
    else if (part !== '' && part !== '.') parts.push(part);
  }
  return `/${parts.join('/')}`;
}

const nonEmpty = (list: readonly string[] | null | undefined): readonly string[] | undefined =>
  list === null || list === undefined || list.length === 0 ? undefined : list;
