import { defineCommand, exactArgs } from '../../command.ts';
import { ExitError } from '../../errors.ts';
import { bool, text } from '../../flags/flag.ts';
import { exitCodeOf, terminalSize } from './outcome.ts';

export const command = defineCommand({
  usage: '[OPTIONS] CONTAINER',
  names: ['container attach', 'attach'],
  short: "Connect this terminal to a running container's streams",
  args: exactArgs(1),
  flags: {
    'detach-keys': text('Keys that detach from the container'),
    'no-stdin': bool('Do not attach stdin'),
    'sig-proxy': bool('Pass signals on to the process', { default: true }),
  },
  async run(cli, { flags, args }) {
    const { containers } = await cli.client();
    const container = await containers.inspect(args[0] ?? '');
    const { State: state, Config: config, Id: id } = container;
    if (!state.Running) throw new ExitError(1, 'You cannot attach to a stopped container, start it first');
    if (state.Paused) throw new ExitError(1, 'cannot attach to a paused container, unpause it first');
    if (state.Restarting) throw new ExitError(1, 'cannot attach to a restarting container, wait until it is running');
    const [{ runSession, isInputTerminal }, { parseDetachKeys }, { forwardSignals, followTerminalSize }] = await Promise.all([
      import('../../streams/session.ts'),
      import('../../streams/detach-keys.ts'),
      import('../../streams/signals.ts'),
    ]);
    const tty = config.Tty === true;
    const stdin = !flags['no-stdin'] && config.OpenStdin === true;
    if (stdin && tty && !isInputTerminal()) throw new ExitError(1, 'the input device is not a TTY');
    const detachKeys = flags['detach-keys'] === '' ? ((await cli.config()).values.detachKeys ?? '') : flags['detach-keys'];
    using _signals = flags['sig-proxy'] && !tty ? forwardSignals(signal => containers.kill(id, { killSignal: signal })) : undefined;
    const [stream, wait] = await Promise.all([
      containers.attach(id, { stdin, stdout: true, stderr: true, detachKeys }),
      containers.wait(id, 'not-running'),
    ]);
    using _size =
      tty && cli.out.isTerminal
        ? followTerminalSize(
            () => terminalSize(cli),
            size => containers.resize(id, size),
          )
        : undefined;
    const end = await runSession(cli, stream, { tty, stdin, stdout: true, stderr: true, detachKeys: parseDetachKeys(detachKeys) });
    if (end === 'detached') throw new ExitError(1, 'read escape sequence');
    return exitCodeOf(cli, await wait.result);
  },
});
