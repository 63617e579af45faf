import { defineCommand, minArgs } from '../../command.ts';
import { containerFlags } from '../../container-options/flags.ts';
import { ExitError } from '../../errors.ts';
import { problem } from '../../output/problem.ts';
import { buildRequest, createContainer } from './create-container.ts';

export const command = defineCommand({
  usage: '[OPTIONS] IMAGE [COMMAND] [ARG...]',
  names: ['container create', 'create'],
  short: 'Create a container without starting it',
  args: minArgs(1),
  flags: containerFlags,
  interspersed: false,
  async run(cli, parsed) {
    const client = await cli.client();
    const request = await buildRequest(cli, client, 'create', parsed);
    try {
      cli.out.line(await createContainer(cli, client, request, parsed.flags));
    } catch (err) {
      if (err instanceof ExitError) throw err;
      throw new ExitError(1, problem(err), { cause: err });
    }
  },
});
