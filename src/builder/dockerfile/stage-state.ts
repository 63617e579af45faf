import type { ImageConfigFile, ImageExecConfig } from '#oci/image-config.ts';
import type { Platform } from '#oci/platform.ts';
import { posix } from 'node:path';
import type { StageState } from './operations.ts';

export const defaultPath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** The configuration of `FROM scratch`. */
export const emptyImage = ({ os, architecture, variant }: Platform): ImageConfigFile => ({
  os,
  architecture,
  ...(variant !== undefined && { variant }),
  rootfs: { type: 'layers', diff_ids: [] },
  config: { WorkingDir: '/', Env: [`PATH=${defaultPath}`] },
});

/**
 * The state of a stage whose base is an image. The image's `ONBUILD` triggers are not in it: they are `base.config.OnBuild`, for the caller to
 * read with `parseTrigger` and to dispatch before the stage's own instructions.
 */
export function beginStage(base: ImageConfigFile, platform: Platform): StageState {
  const { created: _created, ...image } = base;
  const env = [...(base.config?.Env ?? [])];
  if (!env.some(entry => entry.startsWith('PATH='))) env.push(`PATH=${defaultPath}`);
  const cwd = base.config?.WorkingDir ?? '';
  const config = without({ ...base.config, Env: env, ...(cwd !== '' && { WorkingDir: resolveInside('', cwd) }) }, 'OnBuild');
  return { image: { ...image, config }, platform, variables: variablesOf(env), args: [], given: new Set() };
}

/**
 * The state of a stage that begins with another stage, in the state that one ended in. What that stage has said with `ONBUILD` is
 * `base.image.config.OnBuild`, for the caller to dispatch first.
 */
export function continueStage(base: StageState): StageState {
  const { config = {}, ...image } = base.image;
  return {
    ...base,
    image: { ...image, config: without(config, 'OnBuild') },
    given: new Set(base.given.has('workdir') ? (['workdir'] as const) : []),
  };
}

/** What `NAME=value` entries set. */
export function variablesOf(env: readonly string[]): Map<string, string> {
  const variables = new Map<string, string>();
  for (const entry of env) {
    const at = entry.indexOf('=');
    if (at < 0) variables.set(entry, '');
    else variables.set(entry.slice(0, at), entry.slice(at + 1));
  }
  return variables;
}

/** A configuration without one of its settings. */
export function without(config: ImageExecConfig, key: keyof ImageExecConfig): ImageExecConfig {
  const { [key]: _gone, ...rest } = config;
  return rest;
}

/** A path of the image: a relative one is below `current`. A trailing slash counts only where `keepSlash` says so. */
export function resolveInside(current: string, path: string, { keepSlash = false } = {}): string {
  const parent = posix.join('/', current);
  if (path === '') return parent;
  const resolved = posix.isAbsolute(path) ? path : posix.join(parent, path);
  const plain = !posix.isAbsolute(path) && resolved.length > 1 ? resolved.replace(/\/$/, '') : resolved;
  if (!keepSlash) return plain;
  if (path.endsWith('/') && !plain.endsWith('/')) return `${plain}/`;
  if (path.endsWith('/.') && !posix.isAbsolute(path)) return plain === '/' ? '/.' : `${plain}/.`;
  return plain;
}
