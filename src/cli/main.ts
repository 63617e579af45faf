import type { Client } from '#client/client.ts';
import { Cli, type Program } from './cli.ts';
import type { Flags } from './flags/flag.ts';
import type { Needs } from './requirements.ts';
import type { AnyCommand, Entry } from './command.ts';
import { ExitError, FlagError } from './errors.ts';
import { bool, type FlagValues, list, text } from './flags/flag.ts';
import { parseFlags } from './flags/parse.ts';
import type { GlobalOptions } from './global-options.ts';
import type { Output } from './output/terminal.ts';
import { problem } from './output/problem.ts';
import { commands, commonCommands, laterCommands } from './registry.ts';

const globalFlags = {
  config: text('Directory of the client\'s settings (default "~/.docker")'),
  context: text('Name of the context that says where the daemon is; wins over DOCKER_HOST', { short: 'c' }),
  debug: bool('Say more about errors', { short: 'D' }),
  host: list("The daemon's socket: unix://path, tcp://host:port or ssh://user@host", { short: 'H' }),
  'log-level': text('Least severe messages to show: debug, info, warn, error or fatal', { short: 'l', default: 'info' }),
  tls: bool('Use TLS; --tlsverify implies it'),
  tlscacert: text('File of the certificate authority to trust (default "~/.docker/ca.pem")'),
  tlscert: text('File of the certificate to present (default "~/.docker/cert.pem")'),
  tlskey: text('File of the key to that certificate (default "~/.docker/key.pem")'),
  tlsverify: bool("Use TLS and check the daemon's certificate"),
  version: bool('Print the version and end', { short: 'v' }),
};

const connect = async (cli: Cli): Promise<Client> => await (await import('./config/connect.ts')).connect(cli);

/** Runs one command line and resolves with its exit code; what there is to say has been written. */
export async function runCli(argv: readonly string[], program: Program): Promise<number> {
  let cli = new Cli(program, globalOptions(emptyGlobals, new Set()), connect);
  try {
    const parsed = parseFlags(globalFlags, argv, { interspersed: false });
    cli = new Cli(program, globalOptions(parsed.flags, parsed.changed), connect);
    checkLogLevel(parsed.flags['log-level']);
    if (parsed.flags.version) {
      cli.out.line(`${cli.name === 'berth' ? 'Berth' : 'Docker'} version ${cli.version}, build berth`);
      return 0;
    }
    const [word, ...rest] = parsed.args;
    if (parsed.help || word === undefined) return await showRootHelp(cli, parsed.help ? cli.out : cli.err);
    if (word === 'help') return await showHelpOf(cli, rest);
    return await dispatch(cli, argv, word, rest);
  } catch (err) {
    return await report(cli, err, cli.name, '[OPTIONS] COMMAND [ARG...]');
  } finally {
    await cli.close();
  }
}

const emptyGlobals: FlagValues<typeof globalFlags> = parseFlags(globalFlags, []).flags;

function globalOptions(flags: FlagValues<typeof globalFlags>, changed: ReadonlySet<string>): GlobalOptions {
  return {
    hosts: flags.host,
    debug: flags.debug,
    tls: flags.tls,
    tlsVerify: flags.tlsverify,
    tlsVerifyGiven: changed.has('tlsverify'),
    ...(flags.config === '' ? {} : { configDir: flags.config }),
    ...(flags.context === '' ? {} : { context: flags.context }),
    ...(flags.tlscacert === '' ? {} : { tlsCaCert: flags.tlscacert }),
    ...(flags.tlscert === '' ? {} : { tlsCert: flags.tlscert }),
    ...(flags.tlskey === '' ? {} : { tlsKey: flags.tlskey }),
  };
}

function checkLogLevel(level: string): void {
  if (!['trace', 'debug', 'info', 'warn', 'warning', 'error', 'fatal', 'panic'].includes(level.toLowerCase())) {
    throw new ExitError(1, `Unable to parse logging level: ${level}; use debug, info, warn, error or fatal`);
  }
}

interface Found {
  readonly path: string;
  /** What it and the groups that it is in need of the daemon. */
  readonly needs: readonly Needs[];
  readonly entry: Entry;
  readonly rest: readonly string[];
}

/** Follows the words into the tree of commands. */
function findCommand(name: string, word: string, rest: readonly string[]): Found | undefined {
  const top = lookUp(commands, word);
  if (top === undefined) return undefined;
  const needsOf = (path: string, { requires }: Entry): Needs[] => (requires === undefined ? [] : [[path, requires]]);
  const first = `${name} ${top[0]}`;
  let found: Found = { path: first, entry: top[1], rest, needs: needsOf(first, top[1]) };
  while (found.entry.commands !== undefined) {
    const [next, ...after] = found.rest;
    const below = next === undefined ? undefined : lookUp(found.entry.commands, next);
    if (below === undefined) break;
    const path = `${found.path} ${below[0]}`;
    // Who calls a command hears of the command, not of its group.
    const inherited = found.needs.map(([, requires]): Needs => [path, requires]);
    found = { path, entry: below[1], rest: after, needs: [...needsOf(path, below[1]), ...inherited] };
  }
  return found;
}

function lookUp(among: Readonly<Record<string, Entry>>, word: string): readonly [string, Entry] | undefined {
  const direct = Object.hasOwn(among, word) ? among[word] : undefined;
  if (direct !== undefined) return [word, direct];
  return Object.entries(among).find(([, entry]) => entry.also?.includes(word) === true);
}

async function dispatch(cli: Cli, argv: readonly string[], word: string, rest: readonly string[]): Promise<number> {
  const found = findCommand(cli.name, word, rest);
  if (found === undefined) {
    const { runPlugin } = await import('./plugins.ts');
    const code = await runPlugin(cli, argv, word, rest);
    if (code !== undefined) return code;
    if (laterCommands.includes(word)) throw notYet(cli, word);
    throw new ExitError(1, `${cli.name}: unknown command: ${cli.name} ${word}\n\nRun '${cli.name} --help' for more information`);
  }
  const { entry } = found;
  if (entry.load === undefined) return await runGroup(cli, found);
  const { command } = await entry.load();
  return await runCommand(cli, found, command);
}

const notYet = (cli: Cli, word: string): ExitError =>
  new ExitError(1, `${cli.name}: the command "${word}" is not part of Berth ${cli.version} yet; '${cli.name} --help' lists those that are`);

async function runGroup(cli: Cli, { path, entry, rest, needs }: Found): Promise<number> {
  try {
    const parsed = parseFlags({}, rest, { interspersed: false });
    for (const notice of parsed.notices) cli.err.line(notice);
    const [unknown] = parsed.args;
    if (unknown !== undefined && !parsed.help) {
      await requireServed(cli, needs, []);
      if (laterCommands.includes(unknown)) throw notYet(cli, unknown);
      throw new ExitError(
        1,
        `${cli.name}: unknown command: ${path} ${unknown}\n\nUsage:  ${path}\n\nRun '${path} --help' for more information`,
      );
    }
    const { groupHelp } = await import('./help.ts');
    (parsed.help ? cli.out : cli.err).write(groupHelp(path, entry));
    return 0;
  } catch (err) {
    return await report(cli, err, path, 'COMMAND');
  }
}

async function runCommand(cli: Cli, { path, rest, needs }: Found, command: AnyCommand): Promise<number> {
  try {
    const options = command.interspersed === undefined ? {} : { interspersed: command.interspersed };
    let parsed: ReturnType<typeof parseFlags>;
    try {
      parsed = parseFlags(command.flags, rest, options);
    } catch (err) {
      await requireServed(cli, needs, []);
      throw err;
    }
    for (const notice of parsed.notices) cli.err.line(notice);
    if (parsed.help) {
      const { commandHelp } = await import('./help.ts');
      cli.out.write(commandHelp(cli.name, path, command, cli.out));
      return 0;
    }
    await requireServed(cli, needs, flagNeeds(command.flags, parsed.changed));
    if (!command.args.accepts(parsed.args.length)) {
      const { usageLine } = await import('./help.ts');
      const usage = usageLine(path, command.usage);
      throw new ExitError(
        1,
        `${cli.name}: '${path}' ${command.args.text}\n\n${usage}\n\n${command.args.see} '${path} --help' for more information`,
      );
    }
    return (await command.run(cli, parsed)) ?? 0;
  } catch (err) {
    return await report(cli, err, path, command.usage);
  }
}

/** Refuses what the daemon does not serve; it is asked only where there is a question. */
async function requireServed(cli: Cli, commands: readonly Needs[], flags: readonly Needs[]): Promise<void> {
  if (commands.length + flags.length > 0) await (await import('./requirements.ts')).checkRequirements(cli, commands, flags);
}

/** What the flags that were given need of the daemon, by name. */
const flagNeeds = (flags: Flags, changed: ReadonlySet<string>): Needs[] =>
  [...changed].toSorted().flatMap((name): Needs[] => {
    const requires = flags[name]?.requires;
    return requires === undefined ? [] : [[`"--${name}"`, requires]];
  });

/** Shows what went wrong, on stderr, and chooses the exit code. */
async function report(cli: Cli, err: unknown, path: string, usage: string): Promise<number> {
  if (err instanceof FlagError) {
    const { usageLine } = await import('./help.ts');
    cli.err.line(`${err.message}\n\n${usageLine(path, usage)}\n\nRun '${path} --help' for more information`);
    return 125;
  }
  if (err instanceof ExitError) {
    if (err.message !== '') cli.err.line(err.message);
    return err.exitCode;
  }
  // Whoever read our output has gone: there is nobody to tell.
  if (err instanceof Error && 'code' in err && err.code === 'EPIPE') return 1;
  cli.err.line(problem(err));
  if (cli.options.debug && err instanceof Error && err.stack !== undefined) cli.err.line(err.stack);
  return 1;
}

async function showRootHelp(cli: Cli, to: Output): Promise<number> {
  const [{ rootHelp }, { listPluginEntries }] = await Promise.all([import('./help.ts'), import('./plugins.ts')]);
  const plugins = await listPluginEntries(cli);
  to.write(rootHelp({ program: cli.name, common: commonCommands, commands, flags: globalFlags, plugins, services: cli.services }, to));
  return 0;
}

async function showHelpOf(cli: Cli, words: readonly string[]): Promise<number> {
  const [word, ...rest] = words;
  if (word === undefined) return await showRootHelp(cli, cli.out);
  const found = findCommand(cli.name, word, rest);
  if (found === undefined) {
    const { runPlugin } = await import('./plugins.ts');
    const code = await runPlugin(cli, [word, ...rest, '--help'], word, [...rest, '--help']);
    if (code !== undefined) return code;
  }
  if (found === undefined || (found.entry.commands !== undefined && found.rest.length > 0)) {
    throw new ExitError(1, `unknown help topic: ${words.join(' ')}`);
  }
  const { commandHelp, groupHelp } = await import('./help.ts');
  if (found.entry.load === undefined) cli.out.write(groupHelp(found.path, found.entry));
  else cli.out.write(commandHelp(cli.name, found.path, (await found.entry.load()).command, cli.out));
  return 0;
}
