import { defineCommand, maxArgs } from '../../command.ts';
import { eraseCredentials } from '../../config/credentials.ts';
import { hubKey } from '../../config/registry-auth.ts';
import { registryKey } from './login.ts';

export const command = defineCommand({
  usage: '[SERVER]',
  names: ['logout'],
  short: 'Forget the credentials for a registry',
  long: 'Forget the credentials for a registry; Docker Hub when no server is named.',
  args: maxArgs(1),
  flags: {},
  async run(cli, { args }) {
    const key = registryKey(args[0]);
    cli.out.line(`Removing login credentials for ${key}`);
    if (!(await eraseCredentials(cli, key)) && key !== hubKey) cli.out.line(`Not logged in to ${key}`);
  },
});
