import { writeFileSync } from 'node:fs';
import { kindOf, messageOf } from '#base/errors.ts';
import { checkInstructions } from '#builder/dockerfile/check-instructions.ts';
import { pathsOfBuild } from '#builder/dockerfile/context-paths.ts';
import { DockerfileError } from '#builder/dockerfile/source.ts';
import { shortWarning } from '#builder/dockerfile/linter.ts';
import type { Cli } from '../../cli.ts';
import { defineCommand, exactArgs } from '../../command.ts';
import { registryConfigOf } from '../../config/registry-auth.ts';
import { ExitError } from '../../errors.ts';
import { alignColumns } from '../../output/tab-writer.ts';
import { imageOf, writeMetadata } from '../../build/build-result.ts';
import { type Call, parseCall, requestOf, showCheckError, showChecks, showOutline, showTargets } from '../../build/call.ts';
import type { BuildOutcome } from '../../build/classic-stream.ts';
import { openContext } from '../../build/context.ts';
import { deliver } from '../../build/deliver.ts';
import { displayFor } from '../../build/display.ts';
import { imageFinder, isForeign, readDockerfile, type ReadDockerfile } from '../../build/dockerfile.ts';
import { showDockerfileError, showFailure } from '../../build/failure.ts';
import { buildFlags } from '../../build/flags.ts';
import { parseNamedContexts } from '../../build/named-contexts.ts';
import { NeededPaths } from '../../build/needed-paths.ts';
import { parseOutputs } from '../../build/outputs.ts';
import { buildArguments, buildQuery, checkBuildFlags, flagOnlyForBuildKit, platformsOf } from '../../build/request.ts';
import { runBuild, runClassicBuild } from '../../build/run-build.ts';
import { type BuildKitRun, callFrontend, runBuildKit } from '../../build/run-buildkit.ts';
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
    const outputs = parseOutputs(flags, cli.out.isTerminal);
    const namedContexts = parseNamedContexts(flags['build-context']);
    using stop = stopOnSignals();
    try {
      await using context = await openContext({
        argument: args[0] ?? '',
        file: flags.file,
        stdin: () => Bun.stdin.stream(),
        signal: stop.signal,
      });
      const client = await cli.client();
      const buildArgs = await buildArguments(cli, flags['build-arg'], client.connection.endpoint.text);
      const run = { client, context, namedContexts, flags, buildArgs, outputs, signal: stop.signal };
      const read = await readHere(cli, run, call);
      if (typeof read === 'number') return read;
      if (call.method !== 'build') return await askDaemon(cli, run, call, requestOf[call.method]);
      return await build(cli, run, read);
    } catch (err) {
      if (!stop.signal.aborted) throw err;
      throw new ExitError(stop.exitCode, 'ERROR: failed to build: canceled', { cause: err });
    }
  },
});

/** Reads the Dockerfile if it is here and answers what can be answered without building; resolves with the exit code then. */
async function readHere(cli: Cli, run: BuildKitRun, call: Call): Promise<ReadDockerfile | undefined | number> {
  const { client, context, namedContexts, flags, buildArgs, signal } = run;
  if (context.dockerfile === undefined) return undefined;
  let read: ReadDockerfile | undefined;
  try {
    const [platform = ''] = platformsOf(flags);
    const { names } = namedContexts;
    read = readDockerfile(context.dockerfile, { buildArgs, target: flags.target, platform, ignore: context.ignore, namedContexts: names });
    if (call.method === 'targets') return showTargets(cli, read, call);
    if (call.method === 'outline') return showOutline(cli, read, call);
    await checkInstructions(read, imageFinder(client, { signal }));
    if (call.method === 'check') return showChecks(cli, read, call);
    read.lint.check(read.parsed.source);
    return read;
  } catch (err) {
    if (!(err instanceof DockerfileError)) throw err;
    if (call.method === 'check') return showCheckError(cli, err, call);
    if (read !== undefined && isForeign(read.parsed)) return read;
    showDockerfileError(cli.err, err);
    return 1;
  }
}

async function askDaemon(cli: Cli, run: BuildKitRun, call: Call, request: string): Promise<number> {
  const { json, text, status } = await callFrontend(cli, run, request);
  if (call.isJson) cli.out.line(JSON.stringify(JSON.parse(json), undefined, 2));
  else cli.out.write(text.includes('\t') ? alignColumns(text) : text);
  return status === 0 || call.ignoresStatus ? 0 : 1;
}

async function build(cli: Cli, run: BuildKitRun, read: ReadDockerfile | undefined): Promise<number> {
  const { flags, outputs, signal } = run;
  // Whoever turns BuildKit off wants to read what the classic builder says, on stdout.
  const isClassic = /^(?:0|f|false)$/i.test(process.env.DOCKER_BUILDKIT ?? '');
  const outcome = (isClassic ? undefined : await tryBuildKit(cli, run)) ?? (await buildClassic(cli, run, read, isClassic));
  const { failure, response, undelivered } = outcome;
  if (failure !== undefined) {
    if (isClassic) throw new ExitError(failure.exitCode === 0 ? 1 : failure.exitCode, failure.message);
    showFailure(cli.err, failure, read?.parsed);
    return 1;
  }
  const imageId = imageOf(response);
  if (undelivered.length > 0) {
    if (imageId === '') throw new ExitError(1, 'ERROR: failed to build: the daemon did not say what it built');
    await deliver(cli, { specs: undelivered, isImage: outputs.isImage }, { imageId, tags: flags.tag, quiet: flags.quiet, signal });
  }
  if (flags.iidfile !== '') writeFileSync(flags.iidfile, imageId);
  if (flags['metadata-file'] !== '') writeMetadata(flags['metadata-file'], response);
  if (flags.quiet) cli.out.line(imageId);
  else if (!isClassic) showWarnings(cli, outcome, read, flags.progress);
  return 0;
}

/** Undefined when the daemon prefers the classic way, or has no such services, and the build does not need them. */
async function tryBuildKit(cli: Cli, run: BuildKitRun): Promise<BuildOutcome | undefined> {
  const { client, flags, outputs } = run;
  const needing = flagOnlyForBuildKit(flags, outputs);
  const isAsked = /^(?:1|t|true)$/i.test(process.env.DOCKER_BUILDKIT ?? '');
  if (flags.squash && needing === undefined) return undefined;
  if (flags.squash)
    throw new ExitError(1, `ERROR: failed to build: --squash is for the classic builder only, which does not support ${needing ?? ''}`);
  if (needing === undefined && !isAsked && (await client.connection.ping()).builderVersion !== '2') return undefined;
  try {
    return await runBuildKit(cli, run, displayFor(cli, flags.quiet ? 'quiet' : flags.progress));
  } catch (err) {
    const kind = kindOf(err);
    if (kind !== 'NotImplemented' && kind !== 'NotFound') throw err;
    if (needing === undefined) return undefined;
    throw new ExitError(
      1,
      `ERROR: failed to build: ${needing} needs BuildKit's services, which this daemon does not have: ${messageOf(err)}`,
      {
        cause: err,
      },
    );
  }
}

/** `POST /build`, with an archive of the context. */
async function buildClassic(cli: Cli, run: BuildKitRun, read: ReadDockerfile | undefined, isClassic: boolean): Promise<BuildOutcome> {
  const { client, context, flags, buildArgs, outputs, signal } = run;
  const needing = flagOnlyForBuildKit(flags, outputs);
  if (needing !== undefined)
    throw new ExitError(1, `ERROR: failed to build: ${needing} is not supported by the classic builder: leave DOCKER_BUILDKIT=0 out`);
  const needed = read === undefined ? undefined : await neededPaths(read, run);
  const tags = outputs.isImage ? flags.tag : [];
  const query = buildQuery(flags, { dockerfileName: context.dockerfileName, buildArgs, tags });
  const classic = { client, context, needed, query, outputs, registryConfig: await registryConfigOf(cli), signal };
  if (isClassic) return await runClassicBuild(cli, classic, flags.quiet);
  return await runBuild(classic, displayFor(cli, flags.quiet ? 'quiet' : flags.progress));
}

/** Undefined when everything has to be sent: with `--pull` the base may turn out to be another one than what is here. */
async function neededPaths(read: ReadDockerfile, { client, context, flags, signal }: BuildKitRun): Promise<NeededPaths | undefined> {
  if (context.root === undefined || flags.pull || isForeign(read.parsed)) return undefined;
  const { plan, targetPlatform } = read;
  const paths = await pathsOfBuild(plan, read.context, { targetPlatform, findImage: imageFinder(client, { signal }) });
  return paths === undefined ? undefined : new NeededPaths(context.root, paths);
}

/** What the checks found, here and at the daemon, which knows of more: what images it was given. */
function showWarnings(cli: Cli, outcome: BuildOutcome, read: ReadDockerfile | undefined, progress: string): void {
  if (['quiet', 'none', 'rawjson'].includes(progress)) return;
  if (read !== undefined && isForeign(read.parsed)) return;
  const name = read?.parsed.source.name ?? 'Dockerfile';
  const texts = [...(read?.lint.warnings ?? []).map(shortWarning), ...outcome.warnings.map(({ text }) => text)];
  const lines = [...new Set(texts)].map(text => text.replace(/\(line (\d+)\)$/, (_all, line: string) => `(${name}:${line})`));
  if (lines.length === 0) return;
  const count = lines.length === 1 ? '1 warning' : `${String(lines.length)} warnings`;
  cli.err.line(`\n ${count} found (use ${cli.name} build --check for details):`);
  for (const line of lines) cli.err.line(` - ${line}`);
}
