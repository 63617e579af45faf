import { invalidArgument } from '#base/errors.ts';
import type { ImageExecConfig } from '#oci/image-config.ts';
import type { Platform } from '#oci/platform.ts';
import { dispatch } from './dispatch.ts';
import type { StageState } from './operations.ts';
import { parseInstructions } from './parse.ts';
import { DockerfileError } from './source.ts';
import { variablesOf } from './stage-state.ts';

/** The instructions that `docker commit --change` and `docker import --change` take. */
const changes: ReadonlySet<string> = new Set([
  ...['cmd', 'entrypoint', 'env', 'expose', 'healthcheck', 'label', 'onbuild', 'stopsignal', 'user', 'volume', 'workdir'],
]);

/** Applies instructions to the configuration of an image that is there, one after the other. Throws InvalidArgument, saying what it cannot read. */
export function applyChanges(config: ImageExecConfig, lines: readonly string[], platform: Platform): ImageExecConfig {
  if (lines.length === 0) return config;
  try {
    const { source, escape, instructions } = parseInstructions(lines.join('\n'), keyword => changes.has(keyword.toLowerCase()));
    const { os, architecture } = platform;
    let state: StageState = {
      image: { os, architecture, rootfs: { type: 'layers', diff_ids: [] }, config },
      platform,
      variables: variablesOf(config.Env ?? []),
      args: [],
      given: new Set(),
    };
    const context = { source, escape, buildArgs: new Map<string, string>(), globals: new Map<string, string>() };
    for (const instruction of instructions) state = dispatch(state, instruction, context).state;
    // It says something about builds, and only of Windows.
    const { ArgsEscaped: _said, ...changed } = state.image.config ?? {};
    return config.ArgsEscaped === undefined ? changed : { ...changed, ArgsEscaped: config.ArgsEscaped };
  } catch (err) {
    throw err instanceof DockerfileError ? invalidArgument(err.reason, { cause: err }) : err;
  }
}
