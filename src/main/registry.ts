import { messageOf } from '#base/errors.ts';
import type { AnyCommand, Commands } from '#cli/command.ts';
import { ExitError, FlagError } from '#cli/errors.ts';
import { commandHelp, groupHelp, usageLine } from '#cli/help.ts';
import { bool, type Flag, type Flags, list, text } from '#cli/flags/flag.ts';
import { type Parsed, parseFlags } from '#cli/flags/parse.ts';
import { Output } from '#cli/output/terminal.ts';
import { type RegistryConfig, readRegistryConfig } from './registry-config.ts';
import { type RegistrySetting, registrySettings } from './registry-settings.ts';

type SettingFlags = Readonly<Record<string, Flag<boolean> | Flag<string> | Flag<readonly string[]>>>;

const settingFlags: SettingFlags = Object.fromEntries(
  registrySettings.flatMap(setting => (setting.flag === undefined ? [] : [[setting.flag, flagFor(setting)] as const])),
);

function flagFor({ short, type, help }: RegistrySetting): Flag<boolean> | Flag<string> | Flag<readonly string[]> {
  const options = short === undefined ? {} : { short };
  if (type === 'bool') return bool(help, options);
  return type === 'list' ? list(help, options) : text(help, { ...options, hint: hintOf(type) });
}

function hintOf(type: string): string {
  return type === 'bytes' || type === 'duration' ? type : 'string';
}

const configFlag = text('Configuration file in YAML or JSON; also the first argument', { short: 'c' });

const serveFlags = { ...settingFlags, config: configFlag, validate: bool('Check the configuration and exit') };
const gcFlags = {
  config: configFlag,
  data: text('Directory that the images are stored in (default "/var/lib/berth/registry")', { short: 'd' }),
  'dry-run': bool('Only say what would be removed'),
  untagged: bool('Remove manifests that no tag reaches as well', { also: ['delete-untagged'] }),
  grace: text('Keep what clients sent or asked for within this time (default 1h)', { hint: 'duration' }),
};

interface RoleCommand {
  readonly usage: string;
  readonly short: string;
  readonly long: string;
  readonly flags: Flags;
  run(parsed: Parsed<Flags>): Promise<number>;
}

const commands: Readonly<Record<string, RoleCommand>> = {
  serve: {
    usage: '[OPTIONS] [CONFIG]',
    short: 'Run a registry',
    long: `Run a registry: images are stored in a directory or an S3 bucket and served to any client that speaks the OCI distribution API.

Settings come from a file, from variables such as REGISTRY_HTTP_ADDR (for http.addr), and from flags; the later counts. The file has
the keys of the reference registry's configuration. SIGHUP reads certificates and passwords again and opens the audit log anew; SIGTERM
lets requests in progress end.`,
    flags: serveFlags,
    async run(parsed) {
      const { resolveRegistryOptions } = await import('./registry-options.ts');
      const config = configOf(parsed);
      const options = resolveRegistryOptions(config);
      if (parsed.flags.validate === true) {
        new Output(1).line('configuration OK');
        return 0;
      }
      await (await import('./registry-server.ts')).serveRegistry(options, config.notices);
      return 0;
    },
  },
  gc: {
    usage: '[OPTIONS] [CONFIG]',
    short: 'Remove what nothing refers to',
    long: `Remove blobs that no manifest refers to, and with --untagged manifests that no tag reaches. A registry that runs on the same storage does
the work itself, without a pause; otherwise it is done here.`,
    flags: gcFlags,
    async run(parsed) {
      const { resolveRegistryOptions } = await import('./registry-options.ts');
      const given = new Map<string, string>();
      if (typeof parsed.flags.grace === 'string' && parsed.flags.grace !== '') given.set('gc.grace', parsed.flags.grace);
      if (typeof parsed.flags.data === 'string' && parsed.flags.data !== '')
        given.set('storage.filesystem.rootdirectory', parsed.flags.data);
      if (parsed.flags.untagged === true) given.set('gc.untagged', 'true');
      const options = resolveRegistryOptions(configOf(parsed, given));
      const { collectRegistry } = await import('./registry-collect.ts');
      new Output(1).line(await collectRegistry(options, parsed.flags['dry-run'] === true));
      return 0;
    },
  },
};

/** `berth registry serve` and `berth registry gc`. */
export async function main(argv: readonly string[]): Promise<void> {
  const [out, err] = [new Output(1), new Output(2)];
  const [word, ...rest] = argv;
  const command = word === undefined || !Object.hasOwn(commands, word) ? undefined : commands[word];
  if (word === undefined || command === undefined) {
    const asked = word === '--help' || word === '-h' || word === 'help';
    if (word !== undefined && !asked) err.line(`berth registry: unknown command: berth registry ${word}\n`);
    (asked ? out : err).write(groupHelp('berth registry', { short: 'Run and look after a registry', commands: commands as Commands }));
    process.exit(asked || word === undefined ? 0 : 1);
  }
  const path = `berth registry ${word}`;
  try {
    const parsed = parseFlags(command.flags, rest);
    if (parsed.help) {
      const entry: AnyCommand = {
        ...command,
        names: [path],
        args: { accepts: () => true, text: '', see: 'Run' },
        run: () => Promise.resolve(),
      };
      out.write(commandHelp('berth', path, entry, out));
      process.exit(0);
    }
    if (parsed.args.length > 1)
      throw new FlagError(`${path} takes one argument at most, the configuration file: there is also ${JSON.stringify(parsed.args[1])}`);
    process.exit(await command.run(parsed));
  } catch (failure) {
    if (failure instanceof FlagError) {
      err.line(`${failure.message}\n\n${usageLine(path, command.usage)}\n\nRun '${path} --help' for more information`);
      process.exit(125);
    }
    err.line(`${path}: ${messageOf(failure)}`);
    process.exit(failure instanceof ExitError ? failure.exitCode : 1);
  }
}

function configOf(parsed: Parsed<Flags>, more: ReadonlyMap<string, string> = new Map()): RegistryConfig {
  const named = typeof parsed.flags.config === 'string' && parsed.flags.config !== '' ? parsed.flags.config : undefined;
  const file = named ?? parsed.args[0];
  const flags = new Map<string, string | readonly string[]>(more);
  for (const { flag, key } of registrySettings) {
    if (flag === undefined || !parsed.changed.has(flag) || !Object.hasOwn(serveFlags, flag)) continue;
    const value = parsed.flags[flag];
    flags.set(key, typeof value === 'boolean' ? String(value) : (value as string | readonly string[]));
  }
  return readRegistryConfig({ file, env: process.env, flags });
}
