import { defineCommand, exactArgs } from '../../command.ts';
import { bool } from '../../flags/flag.ts';

export const command = defineCommand({
  usage: '[OPTIONS] NETWORK CONTAINER',
  names: ['network disconnect'],
  short: 'Disconnect a container from a network',
  args: exactArgs(2),
  flags: { force: bool('Disconnect it whatever the network says', { short: 'f' }) },
  async run(cli, { flags, args }) {
    const [network = '', container = ''] = args;
    const { networks } = await cli.client();
    await networks.disconnect(network, container, flags.force);
  },
});
