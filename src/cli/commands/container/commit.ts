import { defineCommand, rangeArgs } from '../../command.ts';
import { parseImageName } from '../../container-options/image-name.ts';
import { ExitError } from '../../errors.ts';
import { bool, list, text } from '../../flags/flag.ts';

export const command = defineCommand({
  usage: '[OPTIONS] CONTAINER [REPOSITORY[:TAG]]',
  names: ['container commit', 'commit'],
  short: 'Make an image of a container',
  args: rangeArgs(1, 2),
  flags: {
    author: text('Who made it, such as "Jane Doe <jane@example.org>"', { short: 'a' }),
    change: list('Apply an instruction of a Dockerfile to the image', { short: 'c' }),
    message: text('Words about what it is', { short: 'm' }),
    pause: bool('Hold the container still while its files are read', { short: 'p', default: true }),
    'no-pause': bool('Let the container go on while its files are read'),
  },
  async run(cli, { flags, args }) {
    const [container = '', reference = ''] = args;
    const name = reference === '' ? undefined : parseImageName(reference);
    if (name?.tag.includes(':') === true) throw new ExitError(1, 'refusing to create a tag with a digest reference');
    const { containers } = await cli.client();
    const { Id } = await containers.commit({
      container,
      repo: name?.repository,
      tag: name?.tag,
      comment: flags.message === '' ? undefined : flags.message,
      author: flags.author === '' ? undefined : flags.author,
      changes: flags.change,
      pause: flags.pause && !flags['no-pause'] ? undefined : false,
    });
    cli.out.line(Id);
  },
});
