import { messageOf } from '#base/errors.ts';
import { defineCommand, minArgs } from '../../command.ts';
import { ExitError } from '../../errors.ts';

export const command = defineCommand({
  usage: 'CONTAINER [CONTAINER...]',
  names: ['container wait', 'wait'],
  short: 'Wait for containers to stop and print their exit codes',
  args: minArgs(1),
  flags: {},
  async run(cli, { args }) {
    const { containers } = await cli.client();
    const failures: string[] = [];
    for (const id of args) {
      try {
        const { result } = await containers.wait(id, 'not-running');
        const { StatusCode, Error: failure } = await result;
        if ((failure?.Message ?? '') === '') cli.out.line(String(StatusCode));
        else failures.push(failure?.Message ?? '');
      } catch (err) {
        failures.push(messageOf(err));
      }
    }
    if (failures.length > 0) throw new ExitError(1, failures.join('\n'));
  },
});
