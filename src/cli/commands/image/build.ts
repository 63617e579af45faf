import { writeFileSync } from 'node:fs';
import { kindOf, messageOf } from '#base/errors.ts';
import { checkInstructions } from '#builder/dockerfile/check-instructions.ts';
import { pathsOfBuild } from '#builder/dockerfile/context-paths.ts';
import { DockerfileError } from '#builder/dockerfile/source.ts';
import { shortWarning } from '#builder/dockerfile/linter.ts';
import type { Client } from '#client/client.ts';
import type { Cli } from '../../cli.ts';
import { defineCommand, exactArgs } from '../../command.ts';
import { registryConfigOf } from '../../config/registry-auth.ts';
import { ExitError } from '../../errors.ts';
import { type Call, parseCall, showCheckError, showChecks, showOutline, showTargets } from '../../build/call.ts';
import { type BuildContext, openContext } from '../../build/context.ts';
import { imageFinder, isForeign, readDockerfile, type ReadDockerfile } from '../../build/dockerfile.ts';
import { displayFor } from '../../build/display.ts';
import { showDockerfileError, showFailure } from '../../build/failure.ts';
import { buildFlags } from '../../build/flags.ts';
import { NeededPaths } from '../../build/needed-paths.ts';
import { deliver, parseOutputs } from '../../build/outputs.ts';
import { buildArguments, type BuildFlags, buildQuery, checkBuildFlags } from '../../build/request.ts';
import type { BuildOutcome } from '../../build/classic-stream.ts';
import type { Display } from '../../build/status.ts';
import { type BuildRun, runBuild, runClassicBuild } from '../../build/run-build.ts';
import { canSync, runBuildKit } from '../../build/run-buildkit.ts';
import { parseAgents, parseSecrets } from '../../build/secrets.ts';
import { stopOnSignals } from '../../build/signals.ts';

export const command = defineCommand({
  usage: '[OPTIONS] PATH | URL | -',
  names: ['buildx build', 'build', 'builder build', 'image build', 'buildx b'],
  short: 'Build an image from a Dockerfile',
  args: exactArgs(1),
  flags: buildFlags,
  async run(cli, { flags, args }) {
    const call = parseCall(flags.check ? 'check' : flags.call);
    checkBuildFlags(flags);
    const outputs = parseOutputs(flags);
    using stop = stopOnSignals();
    try {
      await using context = await openContext({
        argument: args[0] ?? '',
        file: flags.file,
        stdin: () => Bun.stdin.stream(),
        signal: stop.signal,
      });
      const build = await prepare(cli, flags, context, call, stop.signal);
      if (typeof build === 'number') return build;
      const result = await build.run(outputs.isImage ? flags.tag : []);
      if (typeof result === 'number') return result;
      await deliver(cli, outputs, { ...result, tags: flags.tag, quiet: flags.quiet, signal: stop.signal });
      if (flags.iidfile !== '') writeFileSync(flags.iidfile, result.imageId);
      if (flags['metadata-file'] !== '')
        writeFileSync(flags['metadata-file'], `${JSON.stringify(metadata(result.imageId, flags.tag), undefined, 2)}\n`);
      if (flags.quiet) cli.out.line(result.imageId);
      return 0;
    } catch (err) {
      if (!stop.signal.aborted) throw err;
      throw new ExitError(stop.exitCode, 'ERROR: failed to build: canceled', { cause: err });
    }
  },
});

interface Prepared {
  /** Resolves with the image, or with an exit code when there is none and everything has been said. */
  run(tags: readonly string[]): Promise<{ readonly imageId: string } | number>;
}

/** Reads the Dockerfile and answers what can be answered without building; resolves with the exit code then. */
async function prepare(cli: Cli, flags: BuildFlags, context: BuildContext, call: Call, signal: AbortSignal): Promise<Prepared | number> {
  const client = await cli.client();
  const buildArgs = await buildArguments(cli, flags['build-arg'], client.connection.endpoint.text);
  const findImage = imageFinder(client, { signal });
  let read: ReadDockerfile | undefined;
  let needed: NeededPaths | undefined;
  try {
    if (context.dockerfile !== undefined) {
      const platform = flags.platform[0] ?? process.env.DOCKER_DEFAULT_PLATFORM ?? '';
      read = readDockerfile(context.dockerfile, { buildArgs, target: flags.target, platform, ignore: context.ignore });
    }
    if (call.method === 'targets' && read !== undefined) return showTargets(cli, read, call);
    if (call.method === 'outline' && read !== undefined) return showOutline(cli, read, call);
    if (read !== undefined) await checkInstructions(read, findImage);
    if (call.method === 'check' && read !== undefined) return showChecks(cli, read, call);
    if (call.method !== 'build') throw new ExitError(1, `--call=${call.method} needs a Dockerfile that is here, not in an archive`);
    read?.lint.check(read.parsed.source);
    if (read !== undefined && context.root !== undefined) needed = await neededPaths(read, flags, context.root, findImage);
  } catch (err) {
    if (!(err instanceof DockerfileError)) throw err;
    if (call.method === 'check') return showCheckError(cli, err, call);
    if (read === undefined || !isForeign(read.parsed)) {
      showDockerfileError(cli.err, err);
      return 1;
    }
  }
  const registryConfig = await registryConfigOf(cli);
  return {
    async run(tags) {
      const query = buildQuery(flags, { dockerfileName: context.dockerfileName, buildArgs, tags });
      const run = { client, context, needed, query, registryConfig, signal };
      // Whoever turns BuildKit off wants to read what the classic builder says, on stdout.
      const isClassic = /^(0|f|false)$/i.test(process.env.DOCKER_BUILDKIT ?? '');
      const display = displayFor(cli, flags.quiet ? 'quiet' : flags.progress);
      const isBuildKit = !isClassic && (await usesBuildKit(client, flags, context));
      const stream =
        (isBuildKit ? await tryBuildKit(cli, run, display, flags) : undefined) ??
        (isClassic ? await runClassicBuild(cli, run, flags.quiet) : await runBuild(run, display));
      if (stream.failure !== undefined) {
        if (isClassic) throw new ExitError(stream.failure.exitCode === 0 ? 1 : stream.failure.exitCode, stream.failure.message);
        showFailure(cli.err, stream.failure, read?.parsed);
        return 1;
      }
      if (stream.imageId === undefined) throw new ExitError(1, 'ERROR: failed to build: the daemon did not say what it built');
      if (!isClassic && !flags.quiet && read !== undefined && !isForeign(read.parsed)) showWarnings(cli, read, flags.progress);
      return { imageId: stream.imageId };
    },
  };
}

/** Undefined when the daemon has no such services, and the build does not need them. */
async function tryBuildKit(cli: Cli, run: BuildRun, display: Display, flags: BuildFlags): Promise<BuildOutcome | undefined> {
  try {
    return await runBuildKit(cli, run, display, { secrets: parseSecrets(flags.secret), agents: parseAgents(flags.ssh) });
  } catch (err) {
    const kind = kindOf(err);
    if (kind !== 'NotImplemented' && kind !== 'NotFound') throw err;
    if (flags.secret.length === 0 && flags.ssh.length === 0) return undefined;
    throw new ExitError(
      1,
      `ERROR: failed to build: --secret and --ssh need BuildKit's services, which this daemon does not have: ${messageOf(err)}`,
      { cause: err },
    );
  }
}

/** BuildKit's services are used where the daemon prefers them, where they are asked for and where nothing else will do. */
async function usesBuildKit(client: Client, flags: BuildFlags, context: BuildContext): Promise<boolean> {
  const isNeeded = flags.secret.length > 0 || flags.ssh.length > 0;
  if (!canSync({ context })) {
    if (isNeeded) throw new ExitError(1, 'ERROR: failed to build: --secret and --ssh need a context that is a directory, not an archive');
    return false;
  }
  if (isNeeded || /^(1|t|true)$/i.test(process.env.DOCKER_BUILDKIT ?? '')) return true;
  return (await client.connection.ping()).builderVersion === '2';
}

/** Undefined when everything has to be sent: with `--pull` the base may turn out to be another one than what is here. */
async function neededPaths(
  read: ReadDockerfile,
  flags: BuildFlags,
  root: string,
  findImage: ReturnType<typeof imageFinder>,
): Promise<NeededPaths | undefined> {
  if (flags.pull || isForeign(read.parsed)) return undefined;
  const paths = await pathsOfBuild(read.plan, read.context, { targetPlatform: read.targetPlatform, findImage });
  return paths === undefined ? undefined : new NeededPaths(root, paths);
}

function showWarnings(cli: Cli, { lint, parsed }: ReadDockerfile, progress: string): void {
  const { warnings } = lint;
  if (warnings.length === 0 || progress === 'quiet' || progress === 'none' || progress === 'rawjson') return;
  const count = warnings.length === 1 ? '1 warning' : `${warnings.length} warnings`;
  cli.err.line(`\n ${count} found (use ${cli.name} build --check for details):`);
  for (const warning of warnings)
    cli.err.line(` - ${shortWarning(warning).replace(/\(line (\d+)\)$/, (_all, line: string) => `(${parsed.source.name}:${line})`)}`);
}

const metadata = (imageId: string, tags: readonly string[]) => ({
  'containerimage.config.digest': imageId,
  'containerimage.digest': imageId,
  ...(tags.length > 0 && { 'image.name': tags.join(',') }),
});
