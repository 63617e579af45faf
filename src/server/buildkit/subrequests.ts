import { DockerfileError } from '#builder/dockerfile/source.ts';
import { lintFile } from '#builder/dockerfile/lint.ts';
import { Linter, parseCheckOptions } from '#builder/dockerfile/linter.ts';
import { parseDockerfile } from '#builder/dockerfile/parse.ts';
import { planStages } from '#builder/dockerfile/stages.ts';
import { type Answer, lintAnswer, lintErrorAnswer, outlineAnswer, targetsAnswer } from '#builder/dockerfile/subrequests.ts';
import { checkInstructions, type FindImage } from '#builder/dockerfile/check-instructions.ts';
import { IgnoreMatcher } from '#builder/dockerfile/ignore.ts';
import { invalidArgument } from '#base/errors.ts';
import type { Result } from '#api/buildkit/messages.ts';
import { hostPlatform } from '#oci/platform.ts';
import type { FilesOfBuild } from './frontend-files.ts';
import type { FrontendOptions } from './frontend-options.ts';

const known = [
  { name: 'frontend.outline', description: 'List all parameters current build target supports' },
  { name: 'frontend.targets', description: 'List all targets current build supports' },
  { name: 'frontend.lint', description: 'Lint a Dockerfile' },
  { name: 'frontend.subrequests.describe', description: 'List available subrequest types' },
].map(each => ({ ...each, version: '1.0.0', type: 'rpc', metadata: [{ name: 'result.json' }, { name: 'result.txt' }] }));

/** Answers a question about a Dockerfile (`--check`, `--call`). Rejects with InvalidArgument for one that is not known. */
export async function answerSubrequest(id: string, wanted: FrontendOptions, files: FilesOfBuild, findImage: FindImage): Promise<Result> {
  if (id === 'frontend.subrequests.describe') {
    const text = known.map(({ name, version, description }) => `${name}\t${version}\t${description}`).join('\n');
    return toResult({ json: known, text: `NAME\tVERSION\tDESCRIPTION\n${text}\n` }, 0);
  }
  if (!known.some(({ name }) => name === id))
    throw invalidArgument(`unsupported request ${id}: expected one of ${known.map(({ name }) => name).join(', ')}`);
  try {
    return await answer(id, wanted, files, findImage);
  } catch (err) {
    if (id !== 'frontend.lint' || !(err instanceof DockerfileError)) throw err;
    return toResult(lintErrorAnswer(err), 1);
  }
}

async function answer(id: string, wanted: FrontendOptions, { dockerfile, ignored }: FilesOfBuild, findImage: FindImage): Promise<Result> {
  const parsed = parseDockerfile(dockerfile.text, { name: dockerfile.name });
  if (id === 'frontend.targets') return toResult(targetsAnswer(parsed), 0);
  const [targetPlatform = hostPlatform()] = wanted.platforms;
  const lint = new Linter(parseCheckOptions(wanted.buildArgs.get('BUILDKIT_DOCKERFILE_CHECK') ?? parsed.directives.check ?? ''));
  lintFile(parsed, lint);
  const plan = planStages(parsed, { ...wanted, buildPlatform: hostPlatform(), targetPlatform, lint });
  if (id === 'frontend.outline') return toResult(outlineAnswer(parsed, plan), 0);
  const context = {
    source: parsed.source,
    escape: parsed.directives.escape,
    buildArgs: wanted.buildArgs,
    globals: plan.globals,
    lint,
    ignore: new IgnoreMatcher(ignored),
  };
  await checkInstructions({ parsed, plan, context, lint, targetPlatform }, findImage);
  return toResult(lintAnswer(parsed, lint), lint.warnings.length === 0 ? 0 : 1);
}

const encoder = new TextEncoder();

function toResult({ json, text }: Answer, statusCode: number): Result {
  return {
    metadata: {
      'result.json': encoder.encode(JSON.stringify(json)),
      'result.txt': encoder.encode(text),
      'result.statuscode': encoder.encode(String(statusCode)),
      version: encoder.encode('1.0.0'),
    },
  };
}
