import { invalidArgument, messageOf } from '#base/errors.ts';
import type { Digest } from '#oci/digest.ts';
import type { ImageConfigFile } from '#oci/image-config.ts';
import { normalizePlatform, type Platform } from '#oci/platform.ts';
import type { Reference } from '#oci/reference.ts';
import type { KeyedRecord } from '../cache/build-cache.ts';
import type { ParsedDockerfile } from '../dockerfile/instructions.ts';
import { lintFile } from '../dockerfile/lint.ts';
import { Linter, parseCheckOptions } from '../dockerfile/linter.ts';
import { parseDockerfile } from '../dockerfile/parse.ts';
import { DockerfileError } from '../dockerfile/source.ts';
import { planStages } from '../dockerfile/stages.ts';
import type { Annotations, BuildWorkspace, Layer } from '../ports.ts';
import type { BuildObserver, BuildRequest } from '../request.ts';
import { Build, imageConfigOf } from './build.ts';
import { type BuilderContext, BuildSession } from './session.ts';
import { squash } from './squash.ts';

/** What a build has come to. Its layers stay until it is disposed. */
export interface SolvedBuild extends AsyncDisposable {
  readonly platform: Platform;
  /** What the image of it says. */
  readonly config: ImageConfigFile;
  /** Bottom first. */
  readonly layers: readonly Layer[];
  readonly workspace: BuildWorkspace;
  /** A directory of the host that shows its files; for reading only. */
  view(): Promise<string>;
  /** The results of steps that it stands on. */
  readonly steps: readonly KeyedRecord[];
  /** Makes it an image under these names, with this configuration instead of its own if one is given. */
  save(
    names: readonly Reference[],
    options?: { readonly config?: ImageConfigFile; readonly annotations?: Annotations | undefined },
  ): Promise<Digest>;
}

/** `onEnd` is called once, when nothing is left of the build. */
export async function solve(
  context: BuilderContext,
  request: BuildRequest,
  observer: BuildObserver,
  signal: AbortSignal,
  onEnd: () => void,
): Promise<SolvedBuild> {
  await using held = new AsyncDisposableStack();
  held.defer(onEnd);
  const parsed = parseDockerfile(request.dockerfile.text, { name: request.dockerfile.name });
  const lint = new Linter(checkOptions(parsed, request.buildArgs.get('BUILDKIT_DOCKERFILE_CHECK')));
  lintFile(parsed, lint);
  const plan = planStages(parsed, {
    buildArgs: request.buildArgs,
    buildPlatform: context.platform,
    targetPlatform: request.platform ?? context.platform,
    target: request.target,
    namedContexts: new Set(request.namedContexts.keys()),
    lint,
  });
  const session = held.use(new BuildSession(context, request, epochOf(request), signal));
  await session.openRemoteCaches();
  const stage = await new Build(session, plan, observer, lint).run();
  observer.linted?.(lint.warnings, parsed.source);
  lint.check(parsed.source);
  const plain = imageConfigOf(session, stage);
  const { config, layers } = request.squash ? await squash(session, stage, plain) : { config: plain, layers: stage.layers };
  return solvedBuild(session, { config, layers }, held.move());
}

/** What a session has come to; disposing it disposes `held`. */
export function solvedBuild(
  session: BuildSession,
  { config, layers }: Pick<SolvedBuild, 'config' | 'layers'>,
  held: AsyncDisposableStack,
): SolvedBuild {
  return {
    platform: normalizePlatform(config),
    config,
    layers,
    workspace: session.workspace,
    view: () => session.view(layers.at(-1)?.chainId),
    steps: session.steps(),
    async save(names, { config: instead = config, annotations } = {}) {
      const image = { config: instead, layers, names, parent: undefined, annotations };
      return (await session.workspace.add(image, session.signal)).id;
    },
    [Symbol.asyncDispose]: () => held.disposeAsync(),
  };
}

function checkOptions(parsed: ParsedDockerfile, given: string | undefined): ReturnType<typeof parseCheckOptions> {
  try {
    return parseCheckOptions(given ?? parsed.directives.check ?? '');
  } catch (err) {
    throw new DockerfileError(`failed to parse check options: ${messageOf(err)}`, { source: parsed.source });
  }
}

function epochOf({ buildArgs }: BuildRequest): number | undefined {
  const text = buildArgs.get('SOURCE_DATE_EPOCH');
  if (text === undefined || text === '') return undefined;
  if (!/^\d{1,12}$/.test(text)) throw invalidArgument(`invalid SOURCE_DATE_EPOCH ${JSON.stringify(text)}: expected seconds since 1970`);
  return Number(text);
}
