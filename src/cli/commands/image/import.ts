import { defineCommand, minArgs } from '../../command.ts';
import { parseImageName } from '../../container-options/image-name.ts';
import { list, text } from '../../flags/flag.ts';
import { showProgress } from '../../output/progress.ts';
import { openArchive } from './load.ts';

export const command = defineCommand({
  usage: '[OPTIONS] file|URL|- [REPOSITORY[:TAG]]',
  names: ['image import', 'import'],
  short: 'Make an image from a tar archive of a root file system',
  args: minArgs(1),
  flags: {
    change: list('Apply an instruction of a Dockerfile to the image', { short: 'c' }),
    message: text('Words about where it is from', { short: 'm' }),
    platform: text('Platform of the image', { requires: { since: '1.32' } }),
  },
  async run(cli, { flags, args }) {
    const [source = '', reference = ''] = args;
    if (reference !== '') parseImageName(reference);
    const remote = /^https?:\/\//.test(source);
    const input = source === '-' ? Bun.stdin.stream() : remote ? undefined : openArchive(source);
    const { images } = await cli.client();
    const messages = await images.importTar(remote ? source : '-', input, {
      repo: reference === '' ? undefined : reference,
      message: flags.message,
      changes: flags.change,
      platform: flags.platform,
    });
    await showProgress(messages, cli.out);
  },
});
