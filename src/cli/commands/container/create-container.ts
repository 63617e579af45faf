import { existsSync, rmSync, writeFileSync } from 'node:fs';
import type { ContainerCreateRequest, ContainerCreateResponse } from '#api/types/container.ts';
import type { Client } from '#client/client.ts';
import { DaemonError } from '#client/errors.ts';
import type { Cli } from '../../cli.ts';
import { proxyEnvironment } from '../../config/proxies.ts';
import type { ContainerFlagValues } from '../../container-options/request.ts';
import { parseImageName } from '../../container-options/image-name.ts';
import { checkPlatform } from '../../container-options/platform.ts';
import { createRequest } from '../../container-options/request.ts';
import { ExitError, FlagError } from '../../errors.ts';
import { problem } from '../../output/problem.ts';

/** The words that end errors of `run` and `create`. */
const help = (cli: Cli, command: string): string => `\n\nRun '${cli.name} ${command} --help' for more information`;

/** An error of the command line itself: nothing was asked of the daemon. */
export function usageError(cli: Cli, command: string, err: unknown): ExitError | FlagError {
  if (err instanceof FlagError) return new ExitError(125, `${cli.name}: ${err.message}${help(cli, command)}`, { cause: err });
  return new ExitError(125, `${cli.name}: ${problem(err)}${help(cli, command)}`, { cause: err });
}

/** Exit codes follow what the runtime says about the command, in its own words. */
export function startError(cli: Cli, command: string, err: unknown): ExitError {
  const text = problem(err);
  const missing = /executable file not found|no such file or directory|system cannot find the file specified/.test(text);
  const refused = /permission denied|is a directory/.test(text);
  return new ExitError(missing ? 127 : refused ? 126 : 125, `${cli.name}: ${text}${help(cli, command)}`, { cause: err });
}

export async function buildRequest(
  cli: Cli,
  client: Client,
  command: string,
  given: { readonly flags: ContainerFlagValues; readonly changed: ReadonlySet<string>; readonly args: readonly string[] },
): Promise<ContainerCreateRequest> {
  const [image = '', ...words] = given.args;
  try {
    const proxyEnv = proxyEnvironment(await cli.config(), client.connection.endpoint.text, given.flags.env);
    const request = createRequest({ flags: given.flags, changed: given.changed, image, command: words, proxyEnv });
    if (given.flags['use-api-socket']) mountSocket(client, request);
    return request;
  } catch (err) {
    throw usageError(cli, command, err);
  }
}

/** Puts the daemon's socket where programs look for it. */
function mountSocket(client: Client, { HostConfig: host }: ContainerCreateRequest): void {
  const { endpoint } = client.connection;
  if (endpoint.kind !== 'unix')
    throw new Error(`flag --use-api-socket can only be used with a daemon on a unix socket, not ${endpoint.text}`);
  if (!host) return;
  host.Mounts = [...(host.Mounts ?? []), { Type: 'bind', Source: endpoint.path, Target: '/var/run/docker.sock', BindOptions: {} }];
}

/** Creates the container, pulling its image first when the daemon has not got it and `--pull` allows. Says the daemon's warnings on stderr. */
export async function createContainer(
  cli: Cli,
  client: Client,
  request: ContainerCreateRequest,
  flags: ContainerFlagValues,
): Promise<string> {
  warnAbout(cli, request);
  using idFile = reserveIdFile(flags.cidfile);
  const name = parseImageName(request.Image ?? '');
  const platform = flags.platform === '' ? (process.env.DOCKER_DEFAULT_PLATFORM ?? '') : flags.platform;
  if (platform !== '') checkPlatform(platform);
  const options = { name: flags.name === '' ? undefined : flags.name, platform: platform === '' ? undefined : platform };
  const pull = async (): Promise<void> => {
    if (name === undefined) return;
    const { pullImage } = await import('../image/pull-image.ts');
    await pullImage(cli, client, name, { platform, quiet: flags.quiet, to: cli.err });
  };
  if (flags.pull === 'always') await pull();
  let created: ContainerCreateResponse;
  try {
    created = await client.containers.create(request, options);
  } catch (err) {
    // Only a missing image answers 404 here.
    if (!(err instanceof DaemonError) || err.status !== 404 || name === undefined || flags.pull !== 'missing') throw err;
    if (!flags.quiet) cli.err.line(`Unable to find image '${name.familiar}' locally`);
    await pull();
    created = await client.containers.create(request, options);
  }
  for (const warning of created.Warnings ?? []) cli.err.line(`WARNING: ${warning}`);
  idFile.write(created.Id);
  return created.Id;
}

function warnAbout(cli: Cli, { HostConfig: host }: ContainerCreateRequest): void {
  if (host?.OomKillDisable === true && (host.Memory ?? 0) === 0) {
    cli.err.line("WARNING: Disabling the OOM killer on containers without setting a '-m/--memory' limit may be dangerous.");
  }
  for (const address of host?.Dns ?? []) {
    if (/^127\.|^::1$/.test(address)) {
      cli.err.line(`WARNING: Localhost DNS setting (--dns=${address}) may fail in containers.`);
      return;
    }
  }
}

interface IdFile extends Disposable {
  write(id: string): void;
}

/** The file of `--cidfile`, made before the container so that it cannot fail afterwards; removed again when no id was written. */
function reserveIdFile(path: string): IdFile {
  if (path === '') return { write: () => undefined, [Symbol.dispose]: () => undefined };
  if (existsSync(path)) {
    throw new Error(`container ID file found, make sure the other container isn't running or delete ${path}`);
  }
  try {
    writeFileSync(path, '', { flag: 'wx' });
  } catch (err) {
    throw new Error(`failed to create the container ID file: ${problem(err)}`, { cause: err });
  }
  let written = false;
  return {
    write(id) {
      writeFileSync(path, id);
      written = true;
    },
    [Symbol.dispose]() {
      if (!written) rmSync(path, { force: true });
    },
  };
}
