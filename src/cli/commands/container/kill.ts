import { defineCommand, minArgs } from '../../command.ts';
import { text } from '../../flags/flag.ts';
import { forEach } from './each.ts';

export const command = defineCommand({
  usage: '[OPTIONS] CONTAINER [CONTAINER...]',
  names: ['container kill', 'kill'],
  short: 'Send a signal to running containers',
  args: minArgs(1),
  flags: { signal: text('Signal to send; SIGKILL when nothing is said', { short: 's' }) },
  async run(cli, { flags, args }) {
    const { containers } = await cli.client();
    await forEach(cli, args, id => containers.kill(id, { killSignal: flags.signal === '' ? undefined : flags.signal }));
  },
});
