import { accessSync, constants, readdirSync, statSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import type { Cli } from './cli.ts';
import type { Entry } from './command.ts';
import { configDirectory } from './config/config-file.ts';
import { ExitError } from './errors.ts';

// Docker CLI, plugins: an executable `docker-<name>` that describes itself when called with this word.
const metadataWord = 'docker-cli-plugin-metadata';
const systemDirectories = [
  '/usr/local/lib/docker/cli-plugins',
  '/usr/local/libexec/docker/cli-plugins',
  '/usr/lib/docker/cli-plugins',
  '/usr/libexec/docker/cli-plugins',
];

interface Metadata {
  readonly SchemaVersion: string;
  readonly Vendor: string;
  readonly Version?: string;
  readonly ShortDescription?: string;
}

export interface Plugin {
  readonly name: string;
  readonly path: string;
  readonly metadata: Metadata;
}

async function directories(cli: Cli): Promise<string[]> {
  const { values } = await cli.config();
  return [join(configDirectory(cli.options), 'cli-plugins'), ...(values.cliPluginsExtraDirs ?? []), ...systemDirectories];
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

/** The program behind a command that is not built in, if there is one. */
export async function findPlugin(cli: Cli, name: string): Promise<string | undefined> {
  if (!/^[a-z][a-z0-9]*$/.test(name)) return undefined;
  for (const directory of await directories(cli)) {
    const path = join(directory, `docker-${name}`);
    if (isExecutable(path)) return path;
  }
  return undefined;
}

/** Asks a plugin who it is. Rejects when it does not answer as plugins do. */
export async function readMetadata(path: string): Promise<Metadata> {
  const child = Bun.spawn([path, metadataWord], { stdin: 'ignore', stdout: 'pipe', stderr: 'ignore', env: pluginEnvironment() });
  const output = await new Response(child.stdout).text();
  if ((await child.exited) !== 0) throw new Error('it does not describe itself');
  const metadata = JSON.parse(output) as Metadata;
  if (!/^0\.1(\.0)?$|^0\.1\./.test(metadata.SchemaVersion))
    throw new Error(`plugin SchemaVersion ${JSON.stringify(metadata.SchemaVersion)} is not valid`);
  if (metadata.Vendor === undefined || metadata.Vendor === '') throw new Error('plugin metadata does not define a vendor');
  return metadata;
}

const pluginEnvironment = (): Record<string, string | undefined> => ({
  ...process.env,
  DOCKER_CLI_PLUGIN_ORIGINAL_CLI_COMMAND: process.execPath,
});

/** Every plugin that answers, the first of each name. */
export async function listPlugins(cli: Cli): Promise<Plugin[]> {
  const candidates = new Map<string, string>();
  for (const directory of await directories(cli)) {
    let names: string[];
    try {
      names = readdirSync(directory);
    } catch {
      continue;
    }
    for (const file of names) {
      const name = /^docker-([a-z][a-z0-9]*)$/.exec(file)?.[1];
      if (name !== undefined && !candidates.has(name) && isExecutable(join(directory, file))) candidates.set(name, join(directory, file));
    }
  }
  const plugins = await Promise.all(
    [...candidates].map(async ([name, path]): Promise<Plugin | undefined> => {
      const metadata = await readMetadata(path).catch(() => undefined);
      return metadata === undefined ? undefined : { name, path, metadata };
    }),
  );
  return plugins.filter(plugin => plugin !== undefined).toSorted((a, b) => (a.name < b.name ? -1 : 1));
}

export async function listPluginEntries(cli: Cli): Promise<(readonly [string, Entry])[]> {
  return (await listPlugins(cli)).map(({ name, metadata }) => [`${name}*`, { short: metadata.ShortDescription ?? '' }]);
}

/** Hands the command line over to a plugin and resolves with its exit code, or with nothing when there is no such plugin. */
export async function runPlugin(cli: Cli, argv: readonly string[], name: string, rest: readonly string[]): Promise<number | undefined> {
  const path = await findPlugin(cli, name);
  if (path === undefined) return undefined;
  await readMetadata(path).catch(err => {
    throw new ExitError(
      1,
      `${cli.name}: '${name}' is not a valid ${cli.name} plugin: ${path}: ${err instanceof Error ? err.message : String(err)}`,
      {
        cause: err,
      },
    );
  });
  const globals = argv.slice(0, argv.length - rest.length - 1);
  const child = Bun.spawn([path, ...globals, name, ...rest], {
    stdin: 'inherit',
    stdout: 'inherit',
    stderr: 'inherit',
    env: { ...pluginEnvironment(), PATH: process.env.PATH ?? ['/usr/local/bin', '/usr/bin', '/bin'].join(delimiter) },
  });
  const forward = (signal: NodeJS.Signals): void => child.kill(signal);
  // A terminal sends Ctrl-C to both: the plugin decides when to end.
  process.on('SIGINT', () => undefined);
  process.on('SIGTERM', forward);
  process.on('SIGHUP', forward);
  await child.exited;
  return child.exitCode ?? (child.signalCode === null ? 1 : 128 + (await signalNumber(child.signalCode)));
}

async function signalNumber(name: string | number): Promise<number> {
  const { constants: osConstants } = await import('node:os');
  return typeof name === 'number' ? name : (osConstants.signals[name as NodeJS.Signals] ?? 0);
}
