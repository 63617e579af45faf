import { defineCommand, exactArgs } from '../../command.ts';
import { bool, text } from '../../flags/flag.ts';
import { toTimestamp } from '../../flags/moment.ts';

export const command = defineCommand({
  usage: '[OPTIONS] CONTAINER',
  names: ['container logs', 'logs'],
  short: 'Show what a container has written',
  args: exactArgs(1),
  flags: {
    details: bool('Show the extra attributes of each line'),
    follow: bool('Go on showing what is written', { short: 'f' }),
    since: text('Show from this moment on: 2013-01-02T13:23:37Z, or 42m for so long ago'),
    tail: text('Number of lines to show from the end', { short: 'n', default: 'all' }),
    timestamps: bool('Show when each line was written', { short: 't' }),
    until: text('Show up to this moment: 2013-01-02T13:23:37Z, or 42m for so long ago', { requires: { since: '1.35' } }),
  },
  async run(cli, { flags, args }) {
    const { containers } = await cli.client();
    const { Id, Config } = await containers.inspect(args[0] ?? '');
    const body = await containers.logs(Id, {
      stdout: true,
      stderr: true,
      since: flags.since === '' ? undefined : toTimestamp(flags.since, 'invalid value for "since": '),
      until: flags.until === '' ? undefined : toTimestamp(flags.until, 'invalid value for "until": '),
      timestamps: flags.timestamps,
      details: flags.details,
      follow: flags.follow,
      tail: flags.tail,
    });
    const { copyOutput } = await import('../../streams/session.ts');
    await copyOutput(cli, body, { tty: Config.Tty === true, stdout: true, stderr: true });
  },
});
