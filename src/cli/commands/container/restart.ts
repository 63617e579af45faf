import { defineCommand, minArgs } from '../../command.ts';
import { forEach } from './each.ts';
import { stopFlags, stopTimeout } from './stop-flags.ts';

export const command = defineCommand({
  usage: '[OPTIONS] CONTAINER [CONTAINER...]',
  names: ['container restart', 'restart'],
  short: 'Stop containers and start them again',
  args: minArgs(1),
  flags: stopFlags,
  async run(cli, { flags, args, changed }) {
    const { containers } = await cli.client();
    const options = { timeoutS: stopTimeout(flags, changed), stopSignal: flags.signal === '' ? undefined : flags.signal };
    // One after the other, as people rely on when one container needs another.
    await forEach(cli, args, id => containers.restart(id, options), 1);
  },
});
