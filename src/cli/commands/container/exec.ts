import type { ExecCreateRequest } from '#api/types/exec.ts';
import type { Client } from '#client/client.ts';
import type { Cli } from '../../cli.ts';
import { defineCommand, minArgs } from '../../command.ts';
import { checkEnv, readKeyValueFile } from '../../container-options/key-values.ts';
import { ExitError } from '../../errors.ts';
import { bool, flagOf, list, text } from '../../flags/flag.ts';
import { terminalSize } from './outcome.ts';

export const command = defineCommand({
  usage: '[OPTIONS] CONTAINER COMMAND [ARG...]',
  names: ['container exec', 'exec'],
  short: 'Run a command in a running container',
  args: minArgs(2),
  interspersed: false,
  flags: {
    detach: bool('Leave it in the background', { short: 'd' }),
    'detach-keys': text('Keys that detach from the command'),
    env: flagOf(
      { hint: 'list', initial: [] as readonly string[], parse: (value, current) => [...current, checkEnv(value)] },
      'Set an environment variable',
      { requires: { since: '1.25' }, short: 'e' },
    ),
    'env-file': list('Read environment variables from a file', { requires: { since: '1.25' } }),
    interactive: bool('Keep stdin open even when not attached', { short: 'i' }),
    privileged: bool('Give every right to the command'),
    tty: bool('Give it a terminal', { short: 't' }),
    user: text('User name or id, and group (name|uid[:group|gid])', { short: 'u' }),
    workdir: text('Directory in the container to work in', { short: 'w', requires: { since: '1.35' } }),
  },
  async run(cli, { flags, args }) {
    const [container = '', ...words] = args;
    const client = await cli.client();
    const detachKeys = flags['detach-keys'] === '' ? ((await cli.config()).values.detachKeys ?? '') : flags['detach-keys'];
    const size = flags.tty ? terminalSize(cli) : undefined;
    const request: ExecCreateRequest = {
      User: flags.user,
      Privileged: flags.privileged,
      Tty: flags.tty,
      ...(size === undefined ? {} : { ConsoleSize: [size.height, size.width] }),
      AttachStdin: !flags.detach && flags.interactive,
      AttachStderr: !flags.detach,
      AttachStdout: !flags.detach,
      DetachKeys: detachKeys,
      Env: [...flags['env-file'].flatMap(path => readKeyValueFile(path, name => process.env[name])), ...flags.env],
      WorkingDir: flags.workdir,
      Cmd: words,
    };
    if (flags.detach) {
      const id = await client.execs.create(container, request);
      await client.execs.startDetached(id, { Detach: true, Tty: flags.tty });
      return 0;
    }
    return await runAttached(cli, client, container, request, detachKeys);
  },
});

async function runAttached(cli: Cli, client: Client, container: string, request: ExecCreateRequest, detachKeys: string): Promise<number> {
  const [{ runSession, isInputTerminal }, { parseDetachKeys }] = await Promise.all([
    import('../../streams/session.ts'),
    import('../../streams/detach-keys.ts'),
  ]);
  const tty = request.Tty === true;
  if (tty && request.AttachStdin === true && !isInputTerminal()) throw new ExitError(1, 'the input device is not a TTY');
  const id = await client.execs.create(container, request);
  const stream = await client.execs.start(id, {
    Detach: false,
    Tty: tty,
    ...(request.ConsoleSize === undefined ? {} : { ConsoleSize: request.ConsoleSize }),
  });
  using _size =
    tty && cli.out.isTerminal
      ? (await import('../../streams/signals.ts')).followTerminalSize(
          () => terminalSize(cli),
          size => client.execs.resize(id, size),
        )
      : undefined;
  const end = await runSession(cli, stream, {
    tty,
    stdin: request.AttachStdin === true,
    stdout: true,
    stderr: true,
    detachKeys: parseDetachKeys(detachKeys),
  });
  if (end === 'detached') return 0;
  const { ExitCode } = await client.execs.inspect(id);
  return ExitCode ?? 0;
}
