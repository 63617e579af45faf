import { messageOf } from '#base/errors.ts';
import { defineCommand, minArgs } from '../../command.ts';
import { ExitError } from '../../errors.ts';
import { bool, text } from '../../flags/flag.ts';
import type { Cli } from '../../cli.ts';
import { exitCodeOf, terminalSize } from './outcome.ts';

interface StartFlags {
  readonly interactive: boolean;
  readonly checkpoint: string;
  readonly 'checkpoint-dir': string;
  readonly 'detach-keys': string;
}

const checkpoints = { experimental: true } as const;

export const command = defineCommand({
  usage: '[OPTIONS] CONTAINER [CONTAINER...]',
  names: ['container start', 'start'],
  short: 'Start containers that are stopped',
  args: minArgs(1),
  flags: {
    attach: bool('Attach to stdout and stderr and pass signals on', { short: 'a' }),
    checkpoint: text('Restore from this checkpoint', { hidden: true, requires: checkpoints }),
    'checkpoint-dir': text('Directory of checkpoints', { hidden: true, requires: checkpoints }),
    'detach-keys': text('Keys that detach from the container'),
    interactive: bool("Attach the container's stdin", { short: 'i' }),
  },
  async run(cli, { flags, args }) {
    const [id = ''] = args;
    if (flags.attach || flags.interactive) {
      if (args.length > 1) throw new ExitError(1, 'you cannot start and attach multiple containers at once');
      return await startAttached(cli, id, flags);
    }
    const { containers } = await cli.client();
    if (flags.checkpoint !== '') {
      if (args.length > 1) throw new ExitError(1, 'you cannot restore multiple containers at once');
      await containers.start(id, checkpointOf(flags));
      return 0;
    }
    const failed: string[] = [];
    for (const name of args) {
      try {
        await containers.start(name);
        cli.out.line(name);
      } catch (err) {
        cli.err.line(messageOf(err));
        failed.push(name);
      }
    }
    if (failed.length > 0) throw new ExitError(1, `Error: failed to start containers: ${failed.join(', ')}`);
    return 0;
  },
});

const checkpointOf = (flags: StartFlags) => ({
  checkpoint: flags.checkpoint === '' ? undefined : flags.checkpoint,
  checkpointDir: flags['checkpoint-dir'] === '' ? undefined : flags['checkpoint-dir'],
});

async function startAttached(cli: Cli, given: string, flags: StartFlags): Promise<number> {
  const { containers } = await cli.client();
  const container = await containers.inspect(given);
  const [{ runSession }, { parseDetachKeys }, { forwardSignals, followTerminalSize }] = await Promise.all([
    import('../../streams/session.ts'),
    import('../../streams/detach-keys.ts'),
    import('../../streams/signals.ts'),
  ]);
  const tty = container.Config.Tty === true;
  const stdin = flags.interactive && container.Config.OpenStdin === true;
  const detachKeys = flags['detach-keys'] === '' ? ((await cli.config()).values.detachKeys ?? '') : flags['detach-keys'];
  using _signals = tty ? undefined : forwardSignals(signal => containers.kill(container.Id, { killSignal: signal }));
  const [stream, wait] = await Promise.all([
    containers.attach(container.Id, { stdin, stdout: true, stderr: true, detachKeys }),
    containers.wait(container.Id, container.HostConfig.AutoRemove === true ? 'removed' : 'next-exit'),
  ]);
  const session = runSession(cli, stream, { tty, stdin, stdout: true, stderr: true, detachKeys: parseDetachKeys(detachKeys) });
  session.catch(() => undefined);
  try {
    await containers.start(container.Id, checkpointOf(flags));
  } catch (err) {
    stream.close();
    await session.catch(() => undefined);
    throw err;
  }
  using _size =
    tty && cli.out.isTerminal
      ? followTerminalSize(
          () => terminalSize(cli),
          size => containers.resize(container.Id, size),
        )
      : undefined;
  if ((await session) === 'detached') return 0;
  return exitCodeOf(cli, await wait.result);
}
