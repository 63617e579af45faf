import { defineCommand, minArgs } from '../../command.ts';
import { forEach } from './each.ts';
import { stopFlags, stopTimeout } from './stop-flags.ts';

export const command = defineCommand({
  usage: '[OPTIONS] CONTAINER [CONTAINER...]',
  names: ['container stop', 'stop'],
  short: 'Stop running containers',
  args: minArgs(1),
  flags: stopFlags,
  async run(cli, { flags, args, changed }) {
    const { containers } = await cli.client();
    const options = { timeoutS: stopTimeout(flags, changed), stopSignal: flags.signal === '' ? undefined : flags.signal };
    await forEach(cli, args, id => containers.stop(id, options));
  },
});
