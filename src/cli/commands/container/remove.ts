import { DaemonError } from '#client/errors.ts';
import { defineCommand, minArgs } from '../../command.ts';
import { bool } from '../../flags/flag.ts';
import { forEach } from './each.ts';

export const command = defineCommand({
  usage: '[OPTIONS] CONTAINER [CONTAINER...]',
  names: ['container rm', 'container remove', 'rm'],
  short: 'Remove containers',
  args: minArgs(1),
  flags: {
    force: bool('Kill a running container first', { short: 'f' }),
    link: bool('Remove the link of this name and not a container', { short: 'l' }),
    volumes: bool('Remove its anonymous volumes too', { short: 'v' }),
  },
  async run(cli, { flags, args }) {
    const { containers } = await cli.client();
    await forEach(cli, args, async given => {
      const id = given.replace(/^\/+|\/+$/g, '');
      if (id === '') throw new Error('Container name cannot be empty');
      try {
        await containers.remove(id, flags);
        return true;
      } catch (err) {
        // With --force, what is not there is as good as removed.
        if (!flags.force || !(err instanceof DaemonError) || err.status !== 404) throw err;
        cli.err.line(err.message);
        return false;
      }
    });
  },
});
